// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <utility>

#include <sluice/base/status.hpp>

#include "drivers.hpp"
#include "ops.hpp"
#include "status.hpp"
#include "structs.hpp"
#include "text.hpp"

namespace sluice::capi {

namespace {

class store_driver final : public store {
 public:
    explicit store_driver(const sluice_store_driver& table) noexcept : table_(table) {}

    absl::Status register_memory(std::span<std::byte> memory) override {
        if (table_.register_memory == nullptr) {
            return absl::OkStatus();
        }
        const callback_scope in_callback;
        return annotate(
            status_of(table_.register_memory(table_.user, memory.data(), memory.size())),
            "the driver's register_memory failed");
    }
    void unregister_memory(std::span<std::byte> memory) noexcept override {
        if (table_.unregister_memory != nullptr) {
            const callback_scope in_callback;
            table_.unregister_memory(table_.user, memory.data(), memory.size());
        }
    }

    void lookup(store_lookup& op) noexcept override {
        hand_out(op, op.keys, op.present, table_.lookup);
    }
    void remove(store_remove& op) noexcept override {
        if (table_.remove == nullptr) {
            op.complete(absl::Status(absl::StatusCode::kUnimplemented, ""));
            return;
        }
        hand_out(op, op.keys, {}, table_.remove);
    }
    void get(std::span<store_get* const> ops) noexcept override {
        hand_out(ops, table_.get, [](const store_get& op) { return op.into; });
    }
    void put(std::span<store_put* const> ops) noexcept override {
        if (table_.put == nullptr) {
            for (store_put* const op : ops) {
                op->complete(absl::Status(absl::StatusCode::kUnimplemented, ""));
            }
            return;
        }
        hand_out(ops, table_.put, [](const store_put& op) {
            // Only read; the C struct is shared with gets.
            return std::span(const_cast<std::byte*>(op.from.data()), op.from.size());
        });
    }

    void abort(operation& op) noexcept override {
        const sluice_op token = token_of(op);
        if (token != 0 && table_.abort != nullptr) {
            const callback_scope in_callback;
            table_.abort(table_.user, token);
        }
    }

 private:
    void hand_out(operation& op, std::span<const block_key> keys, std::span<std::uint8_t> present,
                  void (*function)(void*, const sluice_keys*)) noexcept {
        auto list = std::make_unique<key_list>(keys, present);
        sluice_keys c{};
        c.keys = list->bytes.data();
        c.sizes = list->sizes.data();
        c.present = list->present.data();
        c.n = static_cast<std::uint32_t>(keys.size());
        c.op = issue(op, std::move(list));
        const callback_scope in_callback;
        function(table_.user, &c);
    }

    template <class Op, class MemoryOf>
    void hand_out(std::span<Op* const> ops,
                  void (*function)(void*, const sluice_transfer*, std::uint32_t),
                  MemoryOf memory_of) noexcept {
        std::array<sluice_transfer, 64> batch;
        while (!ops.empty()) {
            const std::size_t n = std::min(batch.size(), ops.size());
            for (std::size_t i = 0; i < n; ++i) {
                const auto memory = memory_of(*ops[i]);
                const auto key = ops[i]->key.bytes();
                batch[i] = {issue(*ops[i]), key.data(),   static_cast<std::uint32_t>(key.size()), 0,
                            memory.data(),  memory.size()};
            }
            ops = ops.subspan(n);
            const callback_scope in_callback;
            function(table_.user, batch.data(), static_cast<std::uint32_t>(n));
        }
    }

    const sluice_store_driver table_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<store>> make_store(const sluice_store_driver* driver) {
    sluice_store_driver table;
    if (absl::Status s = read_struct(driver, table, "sluice_store_driver"); !s.ok()) {
        return s;
    }
    if (absl::Status s = check_flags(table.flags, 0, "sluice_store_driver"); !s.ok()) {
        return s;
    }
    if (table.lookup == nullptr || table.get == nullptr) {
        return invalid("sluice_store_driver.{} is NULL; lookup and get are required",
                       table.lookup == nullptr ? "lookup" : "get");
    }
    if ((table.register_memory == nullptr) != (table.unregister_memory == nullptr)) {
        return invalid("of register_memory and unregister_memory one is NULL; both are, or none");
    }
    return std::make_unique<store_driver>(table);
}

}  // namespace sluice::capi
