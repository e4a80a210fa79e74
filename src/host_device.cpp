// SPDX-License-Identifier: Apache-2.0
#include <sluice/device/host_device.hpp>

#include <algorithm>
#include <atomic>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "copy_bytes.hpp"
#include "pages.hpp"
#include "serial_link.hpp"

namespace sluice {
namespace {

enum kind : std::uint32_t { kind_in, kind_out };

using counter = std::atomic<std::uint64_t>;

void add(counter& c, std::uint64_t n) noexcept { c.fetch_add(n, std::memory_order_relaxed); }

std::uint64_t bytes_of(const group_layout& group) noexcept {
    std::uint64_t bytes = 0;
    for (const region& r : group.regions) {
        bytes += r.bytes;
    }
    return bytes;
}

bool has_slot(const group_layout& group, slot_id slot) noexcept {
    return std::all_of(group.regions.begin(), group.regions.end(),
                       [slot](const region& r) { return slot < r.slots; });
}

}  // namespace

struct host_device::state final : detail::link_server {
    void serve(detail::link_entry& e) noexcept override;
    void settle(detail::link_entry&, bool) noexcept override {}

    bool is_registered(const group_layout* group) noexcept;
    void post(std::span<device_copy* const> ops, kind way) noexcept {
        // The group may be anything at this point; how much it is turns out when it is served.
        link->post(ops, way, [](const device_copy&) { return std::uint64_t{0}; });
    }

    counter copies_in{0}, copies_out{0}, bytes{0}, refused{0};

    std::mutex mutex;  // guards what follows
    // Only compared, never followed: a layout that is gone must not be read.
    std::vector<std::span<const group_layout>> registered;
    struct allocation {
        std::byte* data;
        std::size_t asked;
        std::span<std::byte> pages;
    };
    std::vector<allocation> pinned;

    detail::link_host link;  // last: its thread uses all of the above
};

bool host_device::state::is_registered(const group_layout* group) noexcept {
    const std::lock_guard lock(mutex);
    const std::less_equal<const group_layout*> before_or_at;
    return std::any_of(registered.begin(), registered.end(), [&](const auto& groups) {
        return before_or_at(groups.data(), group) &&
               !before_or_at(groups.data() + groups.size(), group);
    });
}

void host_device::state::serve(detail::link_entry& e) noexcept {
    const auto& op = static_cast<const device_copy&>(*e.op);
    e.bytes = 0;
    if (op.host == nullptr || op.group == nullptr || !is_registered(op.group) ||
        !has_slot(*op.group, op.slot)) {
        add(refused, 1);
        e.status = absl::Status(absl::StatusCode::kInvalidArgument, "");
        return;
    }
    std::byte* host = op.host;
    for (const region& r : op.group->regions) {
        // A layout is made of addresses. NOLINTNEXTLINE(performance-no-int-to-ptr)
        auto* const piece = reinterpret_cast<std::byte*>(r.base + r.stride * op.slot);
        if (e.kind == kind_in) {
            detail::copy_bytes(piece, host, r.bytes);
        } else {
            detail::copy_bytes(host, piece, r.bytes);
        }
        host += r.bytes;
    }
    e.bytes = bytes_of(*op.group);
    add(e.kind == kind_in ? copies_in : copies_out, 1);
    add(bytes, e.bytes);
}

absl::StatusOr<std::unique_ptr<host_device>> host_device::create(const host_device_options& options,
                                                                 loop* on) {
    auto s = std::make_unique<state>();
    if (absl::Status opened = s->link.open(
            on, "sluice-copy", *s, {.rate = options.rate, .per_operation = options.per_operation});
        !opened.ok()) {
        return opened;
    }
    return std::unique_ptr<host_device>(new host_device(std::move(s)));
}

host_device::host_device(std::unique_ptr<state> s) noexcept : state_(std::move(s)) {}

host_device::~host_device() {
    for (const state::allocation& a : state_->pinned) {
        detail::unmap_pages(a.pages);
    }
}

absl::StatusOr<std::span<std::byte>> host_device::allocate_pinned(std::size_t bytes) {
    if (bytes == 0) {
        return absl::InvalidArgumentError("0 bytes cannot be allocated");
    }
    if (bytes > detail::physical_memory()) {  // touching it would end the process
        return absl::ResourceExhaustedError(
            fmt::format("{} bytes are more than this machine's memory", bytes));
    }
    const std::span<std::byte> pages = detail::map_pages(bytes);
    if (pages.empty()) {
        return absl::ResourceExhaustedError(
            fmt::format("the system has no {} bytes of memory", bytes));
    }
    detail::pin_pages(pages);
    const std::lock_guard lock(state_->mutex);
    state_->pinned.push_back({pages.data(), bytes, pages});
    return pages.first(bytes);
}

void host_device::free_pinned(std::span<std::byte> memory) noexcept {
    std::span<std::byte> pages;
    {
        const std::lock_guard lock(state_->mutex);
        auto& pinned = state_->pinned;
        const auto at = std::find_if(pinned.begin(), pinned.end(), [&](const auto& a) {
            return a.data == memory.data() && a.asked == memory.size();
        });
        if (at == pinned.end()) {
            return;
        }
        pages = at->pages;
        pinned.erase(at);
    }
    detail::unmap_pages(pages);
}

absl::Status host_device::register_layout(const layout& l) {
    const std::span<const group_layout> groups = l.groups();
    for (std::size_t g = 0; g < groups.size(); ++g) {
        for (std::size_t i = 0; i < groups[g].regions.size(); ++i) {
            if (groups[g].regions[i].base == 0) {
                return absl::InvalidArgumentError(
                    fmt::format("group {}, region {} is at address 0", g, i));
            }
        }
    }
    const std::lock_guard lock(state_->mutex);
    auto& registered = state_->registered;
    const bool known = std::any_of(registered.begin(), registered.end(), [&](const auto& r) {
        return r.data() == groups.data() && r.size() == groups.size();
    });
    if (!known) {
        registered.push_back(groups);
    }
    return absl::OkStatus();
}

void host_device::copy_in(std::span<device_copy* const> ops) noexcept {
    state_->post(ops, kind_in);
}

void host_device::copy_out(std::span<device_copy* const> ops) noexcept {
    state_->post(ops, kind_out);
}

host_device_stats host_device::stats() const noexcept {
    const state& s = *state_;
    const auto read = [](const counter& c) { return c.load(std::memory_order_relaxed); };
    return {.copies_in = read(s.copies_in),
            .copies_out = read(s.copies_out),
            .bytes = read(s.bytes),
            .refused = read(s.refused),
            .busy_seconds = s.link->busy_seconds()};
}

}  // namespace sluice
