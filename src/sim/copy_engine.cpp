// SPDX-License-Identifier: Apache-2.0
#include <sluice/sim/copy_engine.hpp>

#include <algorithm>
#include <functional>
#include <utility>
#include <vector>

#include <sys/mman.h>
#include <fmt/format.h>

#include <sluice/base/status.hpp>

#include "checks.hpp"
#include "completion_queue.hpp"
#include "flow.hpp"

namespace sluice::sim {
namespace {

using detail::flow;
using detail::instant;

// One direction.
struct lane {
    lane(const copy_engine_options& o, loop& on)
        : bus(o.rate, {}), done(on), free_at(o.streams, -detail::no_instant) {}

    void copy(operation& op, instant now, double overhead, std::uint64_t bytes) {
        // The stream that is free first; they are used in turn, which is the same.
        instant& stream = free_at[next];
        next = next + 1 == free_at.size() ? 0 : next + 1;
        const instant begin = std::max(now, stream);
        const flow::passage p = bus.ask(begin + overhead, 0, bytes);
        bus.admit(begin + overhead, p);
        stream = p.end;
        busy += p.end - std::max(begin, last_end);
        last_end = p.end;
        done.push(op, p.end);
    }
    [[nodiscard]] double busy_seconds(instant now) const noexcept {
        return (busy - std::max(0.0, last_end - now)) * 1e-9;
    }

    flow bus;
    detail::completion_queue done;
    std::vector<instant> free_at;  // by stream
    std::size_t next = 0;
    instant last_end = -detail::no_instant;
    double busy = 0;
};

}  // namespace

struct copy_engine::state {
    state(const copy_engine_options& o, loop& on)
        : clock(on),
          per_operation(detail::span_of(o.per_operation)),
          per_descriptor(detail::span_of(o.per_descriptor)),
          in(o, on),
          out(o, on) {}

    struct known_group {
        const group_layout* group;
        std::uint64_t bytes;
        std::uint32_t slots;
        double overhead;
    };

    void copy(std::span<device_copy* const> ops, lane& way, std::uint64_t& copies,
              std::uint64_t& bytes) noexcept;

    loop& clock;
    const double per_operation;
    const double per_descriptor;
    lane in;
    lane out;
    std::vector<known_group> groups;
    std::vector<std::span<std::byte>> pinned;
    copy_engine_stats counts;
};

void copy_engine::state::copy(std::span<device_copy* const> ops, lane& way, std::uint64_t& copies,
                              std::uint64_t& bytes) noexcept {
    const instant now = detail::instant_of(clock.now());
    for (device_copy* const op : ops) {
        const auto g = std::find_if(groups.begin(), groups.end(),
                                    [op](const known_group& k) { return k.group == op->group; });
        if (op->host == nullptr || g == groups.end() || op->slot >= g->slots) {
            ++counts.refused;
            op->complete({absl::StatusCode::kInvalidArgument, ""});
            continue;
        }
        ++copies;
        bytes += g->bytes;
        way.copy(*op, now, g->overhead, g->bytes);
    }
}

absl::StatusOr<std::unique_ptr<copy_engine>> copy_engine::create(const copy_engine_options& options,
                                                                 loop& on) {
    const copy_engine_options& o = options;
    SLUICE_RETURN_IF_ERROR(detail::check_rate("copy engine", "rate", o.rate));
    SLUICE_RETURN_IF_ERROR(detail::check_time("copy engine", "per_operation", o.per_operation));
    SLUICE_RETURN_IF_ERROR(detail::check_time("copy engine", "per_descriptor", o.per_descriptor));
    SLUICE_RETURN_IF_ERROR(detail::check_count("copy engine", "streams", o.streams, 1, 1024));
    return std::unique_ptr<copy_engine>(new copy_engine(std::make_unique<state>(o, on)));
}

copy_engine::copy_engine(std::unique_ptr<state> s) noexcept : state_(std::move(s)) {}

copy_engine::~copy_engine() {
    for (const std::span<std::byte> p : state_->pinned) {
        ::munmap(p.data(), p.size());
    }
}

absl::StatusOr<std::span<std::byte>> copy_engine::allocate_pinned(std::size_t bytes) {
    if (bytes == 0) {
        return absl::InvalidArgumentError("0 bytes cannot be allocated");
    }
    void* const at =
        ::mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) {
        return absl::ResourceExhaustedError(
            fmt::format("the system has no {} bytes of address space", bytes));
    }
    state_->pinned.emplace_back(static_cast<std::byte*>(at), bytes);
    return state_->pinned.back();
}

void copy_engine::free_pinned(std::span<std::byte> memory) noexcept {
    auto& pinned = state_->pinned;
    const auto at = std::find_if(pinned.begin(), pinned.end(), [&](std::span<std::byte> p) {
        return p.data() == memory.data() && p.size() == memory.size();
    });
    if (at != pinned.end()) {
        ::munmap(at->data(), at->size());
        pinned.erase(at);
    }
}

absl::Status copy_engine::register_layout(const layout& l) {
    const std::span<const group_layout> groups = l.groups();
    for (std::size_t g = 0; g < groups.size(); ++g) {
        // An address may have been another layout's before.
        std::erase_if(state_->groups, [&](const auto& k) { return k.group == &groups[g]; });
        state_->groups.push_back({&groups[g], l.block_bytes(g), l.slots(g),
                                  state_->per_operation + state_->per_descriptor * l.pieces(g)});
    }
    return absl::OkStatus();
}

void copy_engine::copy_in(std::span<device_copy* const> ops) noexcept {
    state_->copy(ops, state_->in, state_->counts.copies_in, state_->counts.bytes_in);
}

void copy_engine::copy_out(std::span<device_copy* const> ops) noexcept {
    state_->copy(ops, state_->out, state_->counts.copies_out, state_->counts.bytes_out);
}

copy_engine_stats copy_engine::stats() const noexcept {
    const instant now = detail::instant_of(state_->clock.now());
    copy_engine_stats out = state_->counts;
    out.busy_seconds = state_->in.busy_seconds(now);
    out.out_busy_seconds = state_->out.busy_seconds(now);
    return out;
}

absl::StatusOr<layout> simulated_layout(std::uint32_t slots, std::uint64_t block_bytes,
                                        std::uint32_t pieces) {
    if (slots == 0 || pieces == 0 || block_bytes < pieces) {
        return absl::InvalidArgumentError(
            fmt::format("a simulated layout of {} slots with blocks of {} bytes in {} pieces",
                        slots, block_bytes, pieces));
    }
    group_layout group;
    std::uintptr_t base = std::uintptr_t{1} << 40;
    for (std::uint32_t i = 0; i < pieces; ++i) {
        const std::uint64_t bytes = block_bytes / pieces + (i < block_bytes % pieces ? 1 : 0);
        group.regions.push_back({base, bytes, bytes, slots, -1});
        base += bytes * slots;
    }
    std::vector<group_layout> groups;
    groups.push_back(std::move(group));
    return layout::create(std::move(groups));
}

}  // namespace sluice::sim
