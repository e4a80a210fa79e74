// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <deque>
#include <list>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include <sluice/base/bytes.hpp>
#include <sluice/base/status.hpp>

#include "../pages.hpp"
#include "drivers.hpp"
#include "ops.hpp"
#include "status.hpp"
#include "structs.hpp"
#include "text.hpp"

namespace sluice::capi {

namespace {

class device_driver final : public device {
 public:
    explicit device_driver(const sluice_device_driver& table) noexcept : table_(table) {}

    absl::StatusOr<std::span<std::byte>> allocate_pinned(std::size_t bytes) override {
        const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
        void* memory = nullptr;
        if (table_.allocate_pinned == nullptr) {
            if (bytes > 0 && bytes <= sluice::detail::physical_memory()) {
                memory = std::aligned_alloc(page, round_up(bytes, page));
            }
            if (memory == nullptr) {
                return absl::ResourceExhaustedError(fmt::format("{} bytes of memory", bytes));
            }
        } else {
            const callback_scope in_callback;
            const sluice_status code = table_.allocate_pinned(table_.user, bytes, &memory);
            if (code != SLUICE_OK) {
                return annotate(status_of(code), "the driver's allocate_pinned failed");
            }
            if (memory == nullptr || reinterpret_cast<std::uintptr_t>(memory) % page != 0) {
                return absl::InternalError(fmt::format(
                    "the driver's allocate_pinned gave {}, which is no page's address", memory));
            }
        }
        return std::span(static_cast<std::byte*>(memory), bytes);
    }
    void free_pinned(std::span<std::byte> memory) noexcept override {
        if (table_.free_pinned == nullptr) {
            std::free(memory.data());
        } else {
            const callback_scope in_callback;
            table_.free_pinned(table_.user, memory.data(), memory.size());
        }
    }

    absl::Status register_layout(const layout& l) override {
        std::list<c_layout> made(1);
        c_layout& c = made.front();
        for (const group_layout& g : l.groups()) {
            auto& regions = c.regions.emplace_back();
            for (const region& r : g.regions) {
                regions.push_back({r.base, r.stride, r.bytes, r.slots, r.layer});
            }
            c.groups.push_back(
                {regions.data(), static_cast<std::uint32_t>(regions.size()),
                 g.rule == hit_rule::last_n ? SLUICE_HIT_LAST_N : SLUICE_HIT_ALL_BLOCKS, g.last_n,
                 0});
        }
        if (table_.register_layout != nullptr) {
            const callback_scope in_callback;
            const sluice_status code = table_.register_layout(
                table_.user, c.groups.data(), static_cast<std::uint32_t>(c.groups.size()));
            if (code != SLUICE_OK) {
                return annotate(status_of(code), "the driver's register_layout failed");
            }
        }
        const std::scoped_lock lock(mutex_);
        layouts_.splice(layouts_.end(), made);
        for (std::size_t g = 0; g < c.groups.size(); ++g) {
            groups_[&l.groups()[g]] = &c.groups[g];
        }
        return absl::OkStatus();
    }

    void copy_in(std::span<device_copy* const> ops) noexcept override {
        hand_out(ops, table_.copy_in);
    }
    void copy_out(std::span<device_copy* const> ops) noexcept override {
        hand_out(ops, table_.copy_out);
    }

 private:
    // A layout as the driver sees it; stays where it is.
    struct c_layout {
        std::deque<std::vector<sluice_region>> regions;
        std::vector<sluice_group> groups;
    };

    void hand_out(std::span<device_copy* const> ops,
                  void (*function)(void*, const sluice_copy*, std::uint32_t)) noexcept {
        std::array<sluice_copy, 64> batch;
        while (!ops.empty()) {
            const std::size_t n = std::min(batch.size(), ops.size());
            {
                const std::scoped_lock lock(mutex_);
                for (std::size_t i = 0; i < n; ++i) {
                    batch[i] = {issue(*ops[i]), ops[i]->host, groups_.at(ops[i]->group),
                                ops[i]->slot, 0};
                }
            }
            ops = ops.subspan(n);
            const callback_scope in_callback;
            function(table_.user, batch.data(), static_cast<std::uint32_t>(n));
        }
    }

    const sluice_device_driver table_;
    std::mutex mutex_;  // guards what follows
    std::list<c_layout> layouts_;
    std::unordered_map<const group_layout*, const sluice_group*> groups_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<device>> make_device(const sluice_device_driver* driver) {
    sluice_device_driver table;
    if (absl::Status s = read_struct(driver, table, "sluice_device_driver"); !s.ok()) {
        return s;
    }
    if (absl::Status s = check_flags(table.flags, 0, "sluice_device_driver"); !s.ok()) {
        return s;
    }
    if (table.copy_in == nullptr || table.copy_out == nullptr) {
        return invalid("sluice_device_driver.{} is NULL; both ways are required",
                       table.copy_in == nullptr ? "copy_in" : "copy_out");
    }
    if ((table.allocate_pinned == nullptr) != (table.free_pinned == nullptr)) {
        return invalid("of allocate_pinned and free_pinned one is NULL; both are, or none");
    }
    return std::make_unique<device_driver>(table);
}

}  // namespace sluice::capi
