// SPDX-License-Identifier: Apache-2.0
#include "ops.hpp"

#include <pthread.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <utility>

#include "status.hpp"
#include "text.hpp"

namespace sluice::capi {

namespace {

struct out_slot {
    operation* op = nullptr;  // null: nobody's
    std::uint32_t epoch = 1;
    std::unique_ptr<key_list> keys;
};

struct op_table {
    op_table() {
        ::pthread_atfork([] { the().mutex.lock(); }, [] { the().mutex.unlock(); },
                         [] {
                             the().forget_all();
                             the().mutex.unlock();
                         });
    }
    static op_table& the() {
        static op_table* const t = new op_table;  // threads may complete while the process ends
        return *t;
    }
    void forget_all() noexcept {
        for (out_slot& s : slots) {
            s.op = nullptr;
            ++s.epoch;
            static_cast<void>(s.keys.release());  // the parent's; the child only leaves it alone
        }
    }
    /// The slot's content, taken out; its op is null if there is no such operation.
    out_slot take(sluice_op token) noexcept {
        const auto index = static_cast<std::uint32_t>(token);
        const std::scoped_lock lock(mutex);
        if (index >= slots.size() || slots[index].op == nullptr ||
            slots[index].epoch != static_cast<std::uint32_t>(token >> 32)) {
            return {};
        }
        out_slot& s = slots[index];
        out_slot taken;
        taken.op = std::exchange(s.op, nullptr);
        taken.keys = std::move(s.keys);
        s.epoch = std::max(s.epoch + 1, 1U);
        free.push_back(index);  // has room: see issue
        return taken;
    }

    std::mutex mutex;
    std::vector<out_slot> slots;
    std::vector<std::uint32_t> free;
};

}  // namespace

key_list::key_list(std::span<const block_key> keys, std::span<std::uint8_t> to)
    : bytes(keys.size() * SLUICE_KEY_STRIDE), sizes(keys.size()), present(to.size()), answer(to) {
    for (std::size_t i = 0; i < keys.size(); ++i) {
        std::memcpy(bytes.data() + i * SLUICE_KEY_STRIDE, keys[i].bytes().data(), keys[i].size());
        sizes[i] = static_cast<std::uint8_t>(keys[i].size());
    }
}

void key_list::deliver() const noexcept {
    std::ranges::transform(present, answer.begin(),
                           [](std::uint8_t p) -> std::uint8_t { return p != 0 ? 1 : 0; });
}

sluice_op issue(operation& op, std::unique_ptr<key_list> keys) {
    op_table& t = op_table::the();
    const std::scoped_lock lock(t.mutex);
    if (t.free.empty()) {
        t.slots.emplace_back();
        t.free.reserve(t.slots.capacity());
        t.free.push_back(static_cast<std::uint32_t>(t.slots.size() - 1));
    }
    const std::uint32_t index = t.free.back();
    t.free.pop_back();
    out_slot& s = t.slots[index];
    s.op = &op;
    s.keys = std::move(keys);
    return (std::uint64_t{s.epoch} << 32) | index;
}

bool withdraw(sluice_op token) noexcept { return op_table::the().take(token).op != nullptr; }

sluice_op token_of(const operation& op) noexcept {
    op_table& t = op_table::the();
    const std::scoped_lock lock(t.mutex);
    for (std::uint32_t i = 0; i < t.slots.size(); ++i) {
        if (t.slots[i].op == &op) {
            return (std::uint64_t{t.slots[i].epoch} << 32) | i;
        }
    }
    return 0;
}

absl::Status complete(sluice_op op, sluice_status status) {
    const out_slot taken = op_table::the().take(op);
    if (taken.op == nullptr) {
        return absl::NotFoundError(
            fmt::format("operation {:#x} is not out: it has ended already, or never was", op));
    }
    if (taken.keys) {
        taken.keys->deliver();
    }
    taken.op->complete(status_of(status));
    return absl::OkStatus();
}

}  // namespace sluice::capi

extern "C" sluice_status sluice_complete(sluice_op op, sluice_status status) noexcept {
    return sluice::capi::guarded("sluice_complete",
                                 [&] { return sluice::capi::complete(op, status); });
}
