// SPDX-License-Identifier: Apache-2.0
#include <sluice/fabric/memory_node.hpp>

#include <optional>
#include <utility>

#include <sluice/coro/thread_loop.hpp>

#include "server.hpp"

namespace sluice {
namespace {

// Reaches its node only while there is one.
struct drain_request : work {
    drain_request(std::shared_ptr<node::server*> n, std::function<void()> d)
        : work([](work& w) noexcept {
              const std::unique_ptr<drain_request> self(&static_cast<drain_request&>(w));
              if (*self->node != nullptr) {
                  (*self->node)->drain(std::move(self->done));
              }
          }),
          node(std::move(n)),
          done(std::move(d)) {}

    std::shared_ptr<node::server*> node;
    std::function<void()> done;
};

}  // namespace

struct memory_node::state {
    ~state() {
        if (own_loop) {
            own_loop->stop();
            own_loop->join();
        }
        *reach = nullptr;
    }

    std::unique_ptr<thread_loop> own_loop;
    loop* on = nullptr;
    std::string address;
    std::string metrics_address;
    std::shared_ptr<node::server*> reach = std::make_shared<node::server*>(nullptr);
    std::unique_ptr<node::server> server;
};

memory_node::memory_node(std::unique_ptr<state> s) noexcept : state_(std::move(s)) {}

memory_node::~memory_node() = default;

absl::StatusOr<std::unique_ptr<memory_node>> memory_node::create(const memory_node_options& options,
                                                                 loop* on) {
    auto s = std::make_unique<state>();
    if (on == nullptr) {
        s->own_loop = std::make_unique<thread_loop>("sluice-node");
    }
    s->on = on != nullptr ? on : s->own_loop.get();
    absl::StatusOr<std::unique_ptr<node::server>> server = node::server::open(*s->on, options);
    if (!server.ok()) {
        return server.status();
    }
    s->server = *std::move(server);
    *s->reach = s->server.get();
    s->address = s->server->address().text();
    s->metrics_address = s->server->metrics_address();
    if (s->own_loop) {
        // Last: until the loop runs, all of it may be made here.
        if (absl::Status status = s->own_loop->start(); !status.ok()) {
            return status;
        }
    }
    return std::unique_ptr<memory_node>(new memory_node(std::move(s)));
}

const std::string& memory_node::address() const noexcept { return state_->address; }

const std::string& memory_node::metrics_address() const noexcept { return state_->metrics_address; }

void memory_node::drain(std::function<void()> done) {
    state_->on->post(*new drain_request(state_->reach, std::move(done)));
}

bool memory_node::damage(const block_key& key) noexcept { return state_->server->damage(key); }

memory_node_stats memory_node::stats() const noexcept { return state_->server->counts().stats(); }

std::string memory_node::metrics() const {
    return state_->server->counts().text(state_->server->uptime());
}

}  // namespace sluice
