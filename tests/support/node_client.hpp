// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sys/socket.h>
#include <unistd.h>

#include <absl/status/status.h>
#include <catch2/catch_test_macros.hpp>

#include <sluice/base/checksum.hpp>
#include <sluice/fabric/memory_node.hpp>
#include <sluice/kv/block_key.hpp>

#include "fabric/domain.hpp"
#include "fabric/lane.hpp"
#include "support/wire_ends.hpp"
#include "wire/handshake.hpp"
#include "wire/resolve.hpp"

namespace sluice_test {

inline constexpr std::string_view node_secret = "a secret for the tests";

inline sluice::memory_node_options small_node() {
    sluice::memory_node_options o;
    o.memory = 16 << 20;  // some slabs, so that blocks of several sizes have room
    o.staging = 256 << 10;
    o.secret = node_secret;
    o.touch = false;
    return o;
}

inline std::unique_ptr<sluice::memory_node> start(const sluice::memory_node_options& o) {
    auto made = sluice::memory_node::create(o);
    INFO(made.status());
    REQUIRE(made.ok());
    return *std::move(made);
}

inline sluice::block_key key_of(std::uint64_t n) {
    return *sluice::block_key::from_bytes(std::as_bytes(std::span(&n, 1)));
}

inline bytes pattern(std::size_t size, unsigned seed) {
    bytes out(size);
    for (std::size_t i = 0; i < size; ++i) {
        out[i] = static_cast<std::byte>(seed + i * 31 + (i >> 8));
    }
    return out;
}

// A client that waits for each answer, and can say anything.
class node_client {
 public:
    explicit node_client(const std::string& at) {
        const auto to = wire::resolve(*wire::address::parse(at));
        REQUIRE(to.ok());
        const wire::socket_address& a = to->front();
        peer_.socket = ::socket(a.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        REQUIRE(::connect(peer_.socket, a.get(), a.size) == 0);
    }

    void write(std::span<const std::byte> raw) { peer_.write(raw); }
    template <class Message>
    std::uint64_t send(const Message& m) {
        write(framed(m, ++id_));
        return id_;
    }
    // Nothing once the node has closed.
    std::optional<wire::frame> next() {
        for (;;) {
            auto f = reader_.next();
            REQUIRE(f.ok());
            if (f->has_value()) {
                return **f;
            }
            const std::span<std::byte> room = reader_.room();
            const ssize_t n = ::recv(peer_.socket, room.data(), room.size(), 0);
            if (n <= 0) {
                return std::nullopt;
            }
            reader_.wrote(static_cast<std::size_t>(n));
        }
    }
    template <class Answer>
    absl::StatusOr<Answer> receive() {
        const std::optional<wire::frame> f = next();
        if (!f) {
            return absl::UnavailableError("closed");
        }
        last_id = f->id;
        if (f->type == wire::message_type::failure) {
            return wire::status_of(*wire::decode<wire::failure>(f->body));
        }
        REQUIRE(f->type == Answer::type);
        return wire::decode<Answer>(f->body);
    }
    template <class Answer, class Request>
    absl::StatusOr<Answer> ask(const Request& r) {
        const std::uint64_t id = send(r);
        absl::StatusOr<Answer> out = receive<Answer>();
        CHECK(last_id == id);
        return out;
    }
    absl::StatusOr<wire::welcome> shake_hands(std::string_view secret = node_secret) {
        const auto s = wire::shared_secret::from_bytes(std::as_bytes(std::span(secret)));
        wire::client_handshake hands(*s);
        const auto challenge = ask<wire::challenge>(hands.begin());
        if (!challenge.ok()) {
            return challenge.status();
        }
        auto out = ask<wire::welcome>(*hands.answer(*challenge));
        if (out.ok()) {
            REQUIRE(hands.finish(*out).ok());
        }
        return out;
    }
    // Whether the node closes, whatever it says before.
    bool closed() {
        while (next()) {
        }
        return true;
    }
    void leave() { peer_.close(); }

    std::vector<wire::placement> lookup(std::vector<sluice::block_key> keys, bool lease = true) {
        wire::lookup r;
        r.lease = lease;
        r.keys = std::move(keys);
        const auto out = ask<wire::found>(r);
        REQUIRE(out.ok());
        return out->blocks;
    }
    std::vector<wire::reserved::grant> reserve(std::vector<wire::reserve::block> blocks) {
        wire::reserve r;
        r.blocks = std::move(blocks);
        const auto out = ask<wire::reserved>(r);
        REQUIRE(out.ok());
        return out->grants;
    }
    absl::StatusOr<wire::committed> commit(std::vector<wire::commit::block> blocks) {
        wire::commit r;
        r.blocks = std::move(blocks);
        return ask<wire::committed>(r);
    }
    wire::pong ping() {
        const auto out = ask<wire::pong>(wire::ping{});
        REQUIRE(out.ok());
        return *out;
    }

    std::uint64_t last_id = 0;

 private:
    raw_peer peer_;
    wire::frame_reader reader_;
    std::uint64_t id_ = 0;
};

// A data connection whose transfers are waited for.
class data_client final : sluice::fabric::lane::owner {
 public:
    data_client(node_client& control, const std::string& provider) : data_client(provider) {
        wire::open_lane request;
        request.provider = provider;
        request.kind = lane_->of().limits().connected ? wire::endpoint_kind::connected
                                                      : wire::endpoint_kind::datagram;
        request.endpoint = lane_->endpoint();
        const auto answer = control.ask<wire::lane>(request);
        INFO(answer.status());
        REQUIRE(answer.ok());
        connect(*answer);
        REQUIRE(ready_);
    }
    ~data_client() {
        on(loop_, [this] { lane_.reset(); });
    }

    // Whether the node takes a connection with what it told somebody before.
    static bool connects(const wire::lane& told, const std::string& provider) {
        return data_client(told, provider).ready_;
    }

    // Waits until the node has closed it.
    void wait_broken() {
        wait([this] { return broken_; });
    }
    bool write(std::uint64_t staging_offset, const bytes& from) {
        local_ = from;
        return move(true, told.staging, staging_offset);
    }
    std::optional<bytes> read(const wire::remote_memory& from, std::uint64_t offset,
                              std::size_t size) {
        local_.assign(size, std::byte{0});
        return move(false, from, offset) ? std::optional(local_) : std::nullopt;
    }
    std::optional<bytes> read(const wire::placement& at) {
        return read(told.pool, at.offset, at.length);
    }

    wire::lane told;

 private:
    explicit data_client(const std::string& provider) {
        namespace fabric = sluice::fabric;
        REQUIRE(loop_.start().ok());
        auto d = fabric::domain::open(provider, "127.0.0.1", fabric::domain::role::client);
        REQUIRE(d.ok());
        on(loop_, [&] {
            auto opened = fabric::lane::open(loop_, *d, *this);
            if (opened.ok()) {
                lane_ = *std::move(opened);
            }
        });
        REQUIRE(lane_ != nullptr);
    }
    data_client(const wire::lane& to, const std::string& provider) : data_client(provider) {
        connect(to);
    }

    void connect(const wire::lane& to) {
        told = to;
        absl::Status status;
        on(loop_, [&] {
            sluice::fabric::lane::destination d;
            d.endpoint = told.endpoint;
            d.ticket = told.ticket;
            status = lane_->connect(d);
        });
        REQUIRE(status.ok());
        wait([this] { return ready_ || broken_; });
    }
    bool move(bool write, const wire::remote_memory& where, std::uint64_t offset) {
        ended_ = false;
        on(loop_, [&] {
            if (lane_->of().local_regions()) {
                region_ = *lane_->of().enroll(local_, FI_READ | FI_WRITE);
            }
        });
        // A provider may refuse while it still makes the connection.
        for (bool posted = false; !posted;) {
            drained_ = false;
            on(loop_, [&] {
                sluice::fabric::transfer& t = *lane_->acquire();
                t.local[0] = {local_.data(), local_.size()};
                t.descriptors[0] = region_ ? region_.descriptor() : nullptr;
                t.locals = 1;
                t.remote[0] = {where.base + offset, local_.size(), where.key};
                t.remotes = 1;
                t.bytes = local_.size();
                t.write = write;
                posted = lane_->post(t);
                if (!posted) {
                    lane_->release(t);
                }
            });
            if (!posted) {
                wait([this] { return drained_ || broken_; });
                if (broken_) {
                    return false;
                }
            }
        }
        wait([this] { return ended_ || broken_; });
        return ended_ && result_.ok();
    }
    void note(const std::function<void()>& f) {
        const std::lock_guard lock(mutex_);
        f();
        changed_.notify_all();
    }
    void wait(const std::function<bool()>& until) {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, until);
    }
    void on_ready() override {
        note([this] { ready_ = true; });
    }
    void on_transfer(sluice::fabric::transfer&, absl::Status status) override {
        note([&] {
            ended_ = true;
            result_ = std::move(status);
        });
    }
    void on_broken(absl::Status) override {
        note([this] { broken_ = true; });
    }
    void on_drained() override {
        note([this] { drained_ = true; });
    }

    sluice::thread_loop loop_{"client"};
    bytes local_;
    sluice::fabric::region region_;
    std::unique_ptr<sluice::fabric::lane> lane_;
    std::mutex mutex_;
    std::condition_variable changed_;
    bool ready_ = false;
    bool broken_ = false;
    bool ended_ = false;
    bool drained_ = false;
    absl::Status result_;
};

// Puts one block whole.
inline wire::commit_verdict put(node_client& c, data_client& d, std::uint64_t key,
                                const bytes& block, std::uint64_t staging_offset = 0) {
    const auto grants = c.reserve({{key_of(key), block.size()}});
    REQUIRE(grants[0].verdict == wire::reserve_verdict::granted);
    REQUIRE(d.write(staging_offset, block));
    const auto done =
        c.commit({{grants[0].token, staging_offset, sluice::checksum64(block), false}});
    REQUIRE(done.ok());
    REQUIRE(done->verdicts.size() == 1);
    return done->verdicts[0];
}

}  // namespace sluice_test
