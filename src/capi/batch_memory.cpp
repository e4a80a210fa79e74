// SPDX-License-Identifier: Apache-2.0
#include <iterator>

#include "batches.hpp"
#include "text.hpp"

namespace sluice::capi {

namespace {

/// Says that this thread calls the store, whose callbacks must not come back here.
class inside {
 public:
    explicit inside(std::atomic<std::thread::id>& who) noexcept : who_(who) {
        who_.store(std::this_thread::get_id(), std::memory_order_relaxed);
    }
    inside(const inside&) = delete;
    inside& operator=(const inside&) = delete;
    ~inside() { who_.store({}, std::memory_order_relaxed); }

 private:
    std::atomic<std::thread::id>& who_;
};

}  // namespace

absl::Status batch_memory::refuse_inside() const {
    return inside_.load(std::memory_order_relaxed) == std::this_thread::get_id()
               ? absl::FailedPreconditionError(
                     "called inside the store's own register_memory or unregister_memory")
               : absl::OkStatus();
}

batch_memory::~batch_memory() {
    for (const auto& [at, r] : ranges_) {
        store_.unregister_memory({at, r.size});
    }
}

// The range that the block lies in, or the end.
batch_memory::ranges::iterator batch_memory::around(std::span<std::byte> block) {
    auto it = ranges_.upper_bound(block.data());
    if (it == ranges_.begin()) {
        return ranges_.end();
    }
    --it;
    return block.data() + block.size() <= it->first + it->second.size ? it : ranges_.end();
}

absl::Status batch_memory::insert(std::span<std::byte> memory, range r) {
    const auto behind = ranges_.lower_bound(memory.data());
    const bool into_next = behind != ranges_.end() && behind->first < memory.data() + memory.size();
    const bool from_previous =
        behind != ranges_.begin() &&
        std::prev(behind)->first + std::prev(behind)->second.size > memory.data();
    if (into_next || from_previous) {
        return absl::AlreadyExistsError(fmt::format(
            "{} bytes at {} overlap memory that is registered or in use by a batch; register the "
            "whole of it before",
            memory.size(), static_cast<void*>(memory.data())));
    }
    const inside in_store(inside_);
    if (absl::Status s = store_.register_memory(memory); !s.ok()) {
        return s;
    }
    ranges_.emplace(memory.data(), r);
    return absl::OkStatus();
}

absl::Status batch_memory::add(std::span<std::byte> memory) {
    if (absl::Status s = refuse_inside(); !s.ok()) {
        return s;
    }
    const std::scoped_lock lock(mutex_);
    return insert(memory, {memory.size(), 0, true});
}

absl::Status batch_memory::remove(std::span<std::byte> memory) {
    if (absl::Status s = refuse_inside(); !s.ok()) {
        return s;
    }
    const std::scoped_lock lock(mutex_);
    const auto it = ranges_.find(memory.data());
    if (it == ranges_.end() || it->second.size != memory.size() || !it->second.by_user) {
        return absl::NotFoundError(fmt::format("{} bytes at {} are not registered", memory.size(),
                                               static_cast<void*>(memory.data())));
    }
    if (it->second.uses > 0) {
        return absl::FailedPreconditionError(
            fmt::format("{} blocks of batches use it", it->second.uses));
    }
    const inside in_store(inside_);
    store_.unregister_memory(memory);
    ranges_.erase(it);
    return absl::OkStatus();
}

absl::Status batch_memory::begin_use(std::span<std::byte> block) {
    if (absl::Status s = refuse_inside(); !s.ok()) {
        return s;
    }
    const std::scoped_lock lock(mutex_);
    if (const auto it = around(block); it != ranges_.end()) {
        ++it->second.uses;
        return absl::OkStatus();
    }
    return insert(block, {block.size(), 1, false});
}

void batch_memory::end_use(std::span<std::byte> block) noexcept {
    const std::scoped_lock lock(mutex_);
    const auto it = around(block);
    if (--it->second.uses == 0 && !it->second.by_user) {
        const inside in_store(inside_);
        store_.unregister_memory({it->first, it->second.size});
        ranges_.erase(it);
    }
}

}  // namespace sluice::capi
