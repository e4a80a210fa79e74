// SPDX-License-Identifier: Apache-2.0
// Opening and closing of stores.
#include "store_object.hpp"

#include <string>
#include <string_view>
#include <utility>

#include <sluice/store/memory_store.hpp>
#ifdef SLUICE_HAS_FABRIC
#include <sluice/fabric/fabric_store.hpp>
#endif

#include "drivers.hpp"
#include "status.hpp"
#include "structs.hpp"
#include "text.hpp"
#include "times.hpp"

namespace sluice::capi {

absl::StatusOr<batch_queue*> store_object::batches() {
    const std::scoped_lock lock(mutex_);
    if (!batches_) {
        auto made = batch_queue::create(*store_, loop_ ? &*loop_ : nullptr);
        if (!made.ok()) {
            return made.status();
        }
        batches_ = *std::move(made);
    }
    return batches_.get();
}

void store_object::wake_callers() noexcept {
    const std::scoped_lock lock(mutex_);
    if (batches_) {
        batches_->wake_waiters();
    }
}

namespace {

absl::Status open_memory(const sluice_memory_store_options* given, sluice_store** out) {
    sluice_memory_store_options o = SLUICE_MEMORY_STORE_OPTIONS_INIT;
    if (given != nullptr) {
        if (absl::Status s = read_struct(given, o, "sluice_memory_store_options"); !s.ok()) {
            return s;
        }
    }
    if (absl::Status s = check_flags(o.flags, SLUICE_STORE_EVICT | SLUICE_STORE_NO_CHECKSUMS,
                                     "sluice_memory_store_options");
        !s.ok()) {
        return s;
    }
    pinned<loop_object> loop;
    if (absl::Status s = keep<loop_object>(o.loop, loop); !s.ok()) {
        return s;
    }
    memory_store_options to;
    if (o.capacity != 0) {
        to.capacity = o.capacity;
    }
    to.evict = (o.flags & SLUICE_STORE_EVICT) != 0;
    to.checksums = (o.flags & SLUICE_STORE_NO_CHECKSUMS) == 0;
    to.link_rate = o.bytes_per_second;
    to.latency = to_duration(o.latency_ns);
    auto made = memory_store::create(to, loop ? &loop->get() : nullptr);
    if (!made.ok()) {
        return made.status();
    }
    return publish(std::make_unique<store_object>(std::move(loop), *std::move(made)), *out);
}

#ifdef SLUICE_HAS_FABRIC

std::vector<std::string> split_nodes(std::string_view text) {
    std::vector<std::string> nodes;
    while (!text.empty()) {
        const std::size_t comma = std::min(text.find(','), text.size());
        std::string_view node = text.substr(0, comma);
        text.remove_prefix(std::min(comma + 1, text.size()));
        while (!node.empty() && node.front() == ' ') {
            node.remove_prefix(1);
        }
        while (!node.empty() && node.back() == ' ') {
            node.remove_suffix(1);
        }
        nodes.emplace_back(node);
    }
    return nodes;
}

absl::Status open_fabric(const sluice_fabric_store_options* given, sluice_store** out) {
    sluice_fabric_store_options o;
    if (absl::Status s = read_struct(given, o, "sluice_fabric_store_options"); !s.ok()) {
        return s;
    }
    if (absl::Status s =
            check_flags(o.flags, SLUICE_STORE_NO_CHECKSUMS, "sluice_fabric_store_options");
        !s.ok()) {
        return s;
    }
    if (o.nodes == nullptr) {
        return null_argument("nodes");
    }
    fabric_store_options to;
    to.nodes = split_nodes(o.nodes);
    to.secret_file = o.secret_file == nullptr ? "" : o.secret_file;
    to.secret = o.secret == nullptr ? "" : o.secret;
    if (o.provider != nullptr) {
        to.provider = o.provider;
    }
    if (o.replicas != 0) {
        to.replicas = o.replicas;
    }
    if (o.connections != 0) {
        to.connections = o.connections;
    }
    to.checksums = (o.flags & SLUICE_STORE_NO_CHECKSUMS) == 0;
    to.soft_timeout = to_duration(o.soft_timeout_ns);
    to.link_rate = o.bytes_per_second;
    auto made = fabric_store::create(to);
    if (!made.ok()) {
        return made.status();
    }
    return publish(std::make_unique<store_object>(pinned<loop_object>(), *std::move(made)), *out);
}

#else

absl::Status open_fabric(const sluice_fabric_store_options*, sluice_store**) {
    return absl::UnimplementedError(
        "this library was built without the fabric transport (SLUICE_BUILD_FABRIC=OFF)");
}

#endif

absl::Status open_driver(const sluice_store_driver* driver, sluice_store** out) {
    auto made = make_store(driver);
    if (!made.ok()) {
        return made.status();
    }
    return publish(std::make_unique<store_object>(pinned<loop_object>(), *std::move(made)), *out);
}

template <class Options>
sluice_status open(std::string_view function, const Options* options, sluice_store** out,
                   absl::Status (*how)(const Options*, sluice_store**)) noexcept {
    return guarded(function, [&]() -> absl::Status {
        if (out == nullptr) {
            return null_argument("out");
        }
        *out = nullptr;
        return how(options, out);
    });
}

}  // namespace

}  // namespace sluice::capi

using namespace sluice;
using namespace sluice::capi;

extern "C" {

sluice_status sluice_store_open_memory(const sluice_memory_store_options* options,
                                       sluice_store** out) noexcept {
    return open("sluice_store_open_memory", options, out, open_memory);
}

sluice_status sluice_store_open_fabric(const sluice_fabric_store_options* options,
                                       sluice_store** out) noexcept {
    return open("sluice_store_open_fabric", options, out, open_fabric);
}

sluice_status sluice_store_open(const sluice_store_driver* driver, sluice_store** out) noexcept {
    return open("sluice_store_open", driver, out, open_driver);
}

sluice_status sluice_store_close(sluice_store* store) noexcept {
    return guarded("sluice_store_close", [&] { return close<store_object>(store); });
}

}  // extern "C"
