// SPDX-License-Identifier: Apache-2.0
#include "handles.hpp"

#include <pthread.h>

#include <array>
#include <atomic>
#include <mutex>
#include <vector>

#include <fmt/format.h>

#include "status.hpp"

namespace sluice::capi::detail {

namespace {

// A handle: epoch, kind, index. The epoch's top bit is set, so no address of a process is a handle.
constexpr std::uint32_t index_bits = 24;
constexpr std::uint32_t first_epoch = 1U << 31;
constexpr std::uint32_t chunk_slots = 256;
constexpr std::uint32_t chunks = (1U << 16) / chunk_slots;

// A slot's word: epoch (32), closing (1), holds (11), pins (20).
constexpr std::uint64_t closing_bit = 1U << 31;
constexpr std::uint64_t one_hold = 1U << 20;
constexpr std::uint64_t pins_mask = one_hold - 1;
constexpr std::uint64_t holds_mask = closing_bit - one_hold;
constexpr std::uint32_t epoch_of(std::uint64_t word) noexcept {
    return static_cast<std::uint32_t>(word >> 32);
}

struct slot {
    // Release: what add and close write of the slot; acquire by pin, which reads it.
    std::atomic<std::uint64_t> word{0};
    std::uint32_t next_epoch = first_epoch;
    // Atomic: a stale handle may be looked at while the slot is given to another object.
    std::atomic<object_kind> kind{};
    std::unique_ptr<object> what;
};

struct table {
    table() { ::pthread_atfork(before_fork, after_fork_here, after_fork_there); }

    static void before_fork() noexcept;
    static void after_fork_here() noexcept;
    static void after_fork_there() noexcept;

    std::mutex mutex;  // guards free, and adding chunks
    std::vector<std::uint32_t> free;
    std::uint32_t used = 0;
    std::array<std::atomic<slot*>, chunks> slots{};
};

// Never destroyed: threads may call while the process ends.
table& the_table() {
    static table* const t = new table;
    return *t;
}

void table::before_fork() noexcept { the_table().mutex.lock(); }
void table::after_fork_here() noexcept { the_table().mutex.unlock(); }

// The threads that pinned, and those that the objects live by, are not in the child: its handles
// become stale, and the objects are left as they are.
void table::after_fork_there() noexcept {
    table& t = the_table();
    for (std::uint32_t i = 0; i < t.used; ++i) {
        slot& s = t.slots[i / chunk_slots].load(std::memory_order_relaxed)[i % chunk_slots];
        s.word.store(0, std::memory_order_relaxed);
        static_cast<void>(s.what.release());
    }
    t.mutex.unlock();
}

std::uint32_t index_of(std::uint64_t handle) noexcept {
    return static_cast<std::uint32_t>(handle) & ((1U << index_bits) - 1);
}

slot* find(std::uint64_t handle) noexcept {
    const std::uint32_t index = index_of(handle);
    if ((handle >> 63) == 0 || index >= chunks * chunk_slots) {
        return nullptr;
    }
    slot* const chunk = the_table().slots[index / chunk_slots].load(std::memory_order_acquire);
    return chunk == nullptr ? nullptr : chunk + index % chunk_slots;
}

bool names(std::uint64_t word, const slot& s, std::uint64_t handle, object_kind kind) noexcept {
    return epoch_of(word) == epoch_of(handle) && (word & closing_bit) == 0 &&
           static_cast<std::uint8_t>(handle >> index_bits) == static_cast<std::uint8_t>(kind) &&
           s.kind.load(std::memory_order_relaxed) == kind;
}

}  // namespace

absl::StatusOr<std::uint64_t> add(object_kind kind, std::unique_ptr<object> o) {
    table& t = the_table();
    const std::scoped_lock lock(t.mutex);
    if (t.free.empty()) {
        if (t.used == chunks * chunk_slots) {
            return absl::ResourceExhaustedError(
                fmt::format("{} handles are open; close some", t.used));
        }
        if (t.used % chunk_slots == 0) {
            t.slots[t.used / chunk_slots].store(new slot[chunk_slots], std::memory_order_release);
        }
        t.free.reserve(t.used + 1);
        t.free.push_back(t.used++);
    }
    const std::uint32_t index = t.free.back();
    t.free.pop_back();
    slot& s = t.slots[index / chunk_slots].load(std::memory_order_relaxed)[index % chunk_slots];
    const std::uint32_t epoch = s.next_epoch;
    s.next_epoch = epoch + 1 < first_epoch ? first_epoch : epoch + 1;
    s.kind.store(kind, std::memory_order_relaxed);
    s.what = std::move(o);
    s.word.store(std::uint64_t{epoch} << 32, std::memory_order_release);
    return (std::uint64_t{epoch} << 32) |
           (std::uint64_t{static_cast<std::uint8_t>(kind)} << index_bits) | index;
}

object* pin(std::uint64_t handle, object_kind kind) noexcept {
    slot* const s = find(handle);
    if (s == nullptr) {
        return nullptr;
    }
    std::uint64_t word = s->word.load(std::memory_order_acquire);
    do {
        if (!names(word, *s, handle, kind)) {
            return nullptr;
        }
    } while (!s->word.compare_exchange_weak(word, word + 1, std::memory_order_acquire));
    return s->what.get();
}

void unpin(std::uint64_t handle) noexcept {
    slot* const s = find(handle);
    // Release: the object may be destroyed from here on.
    const std::uint64_t before = s->word.fetch_sub(1, std::memory_order_release);
    if ((before & closing_bit) != 0 && (before & pins_mask) == 1) {
        s->word.notify_all();
    }
}

absl::Status hold(std::uint64_t handle, std::string_view text) {
    slot* const s = find(handle);
    std::uint64_t word = s->word.load(std::memory_order_relaxed);
    do {
        if ((word & closing_bit) != 0) {
            return unknown(text);
        }
        if ((word & holds_mask) == holds_mask) {
            return absl::ResourceExhaustedError(
                fmt::format("{} objects use the {} already", holds_mask / one_hold, text));
        }
    } while (!s->word.compare_exchange_weak(word, word + one_hold - 1, std::memory_order_relaxed));
    return absl::OkStatus();
}

void let_go(std::uint64_t handle) noexcept {
    // Release: as unpin.
    find(handle)->word.fetch_sub(one_hold, std::memory_order_release);
}

absl::Status close(std::uint64_t handle, object_kind kind, std::string_view text) {
    if (absl::Status s = callback_scope::refuse(); !s.ok()) {
        return s;
    }
    slot* const s = find(handle);
    if (s == nullptr) {
        return unknown(text);
    }
    std::uint64_t word = s->word.load(std::memory_order_acquire);
    do {
        if (!names(word, *s, handle, kind)) {
            return unknown(text);
        }
        if ((word & holds_mask) != 0) {
            return absl::FailedPreconditionError(
                fmt::format("the {} is in use by another object; close that first", text));
        }
    } while (!s->word.compare_exchange_weak(word, word | closing_bit, std::memory_order_acq_rel));
    s->what->wake_callers();
    while (((word = s->word.load(std::memory_order_acquire)) & pins_mask) != 0) {
        s->word.wait(word, std::memory_order_acquire);
    }
    std::unique_ptr<object> gone = std::move(s->what);
    gone.reset();
    table& t = the_table();
    const std::scoped_lock lock(t.mutex);
    s->word.store(0, std::memory_order_release);
    t.free.push_back(index_of(handle));
    return absl::OkStatus();
}

absl::Status unknown(std::string_view text) {
    return absl::NotFoundError(
        fmt::format("the {} handle is NULL, closed, of another kind, or from before a fork", text));
}

}  // namespace sluice::capi::detail
