// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>

// Sanitizers must see every frame, or they would miss the use of a finished one.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SLUICE_FRAME_CACHE_ 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define SLUICE_FRAME_CACHE_ 0
#endif
#endif
#ifndef SLUICE_FRAME_CACHE_
#define SLUICE_FRAME_CACHE_ 1
#endif

namespace sluice::detail {

/// Keeps the memory of finished coroutine frames of this thread for its next coroutines. A frame
/// may be freed on another thread than the one that made it; it then serves that thread.
///
/// Bounded: at most 16 KiB for each of 16 size classes (128 bytes apart) and thread.
class frame_cache {
 public:
    static constexpr bool enabled = SLUICE_FRAME_CACHE_ != 0;

    /// Throws std::bad_alloc if there is no memory.
    static void* allocate(std::size_t size) {
        const std::size_t c = class_of(size);
        if (!enabled || c >= classes) {
            return ::operator new(size);
        }
        lists& mine = mine_;
        node* const top = mine.top[c];
        if (top == nullptr) {
            return ::operator new((c + 1) * granule);
        }
        mine.top[c] = top->next;
        ++mine.room[c];
        return top;
    }

    /// \param size  as given to `allocate`.
    static void deallocate(void* frame, std::size_t size) noexcept {
        const std::size_t c = class_of(size);
        if (!enabled || c >= classes) {
            ::operator delete(frame);
            return;
        }
        lists& mine = mine_;
        if (mine.room[c] == 0 && !make_room(c)) {
            ::operator delete(frame);
            return;
        }
        --mine.room[c];
        mine.top[c] = ::new (frame) node{mine.top[c]};
    }

 private:
    static constexpr std::size_t granule = 128;
    static constexpr std::size_t classes = 16;
    static constexpr std::size_t class_bytes = 16 * 1024;

    struct node {
        node* next;
    };
    // Plain data without a destructor, so that the fast paths need no guard. No room: either full,
    // or the thread has not used the cache yet, or is ending.
    struct lists {
        node* top[classes];
        std::uint32_t room[classes];
        bool open;
        bool closed;
    };
    struct closer {
        closer() noexcept = default;
        closer(const closer&) = delete;
        closer& operator=(const closer&) = delete;
        ~closer() {
            lists& mine = mine_;
            mine.closed = true;  // frames freed by later destructors of this thread pass through
            for (std::size_t c = 0; c < classes; ++c) {
                mine.room[c] = 0;
                while (node* const top = mine.top[c]) {
                    mine.top[c] = top->next;
                    ::operator delete(top);
                }
            }
        }
    };

    static constexpr std::size_t class_of(std::size_t size) noexcept {
        return (size - 1) / granule;
    }

    [[gnu::noinline]] static bool make_room(std::size_t c) noexcept {
        lists& mine = mine_;
        if (mine.open || mine.closed) {
            return false;
        }
        mine.open = true;
        for (std::size_t i = 0; i < classes; ++i) {
            mine.room[i] = static_cast<std::uint32_t>(class_bytes / ((i + 1) * granule));
        }
        static thread_local closer at_exit;
        static_cast<void>(&at_exit);
        return mine.room[c] != 0;
    }

    static inline constinit thread_local lists mine_{};
};

}  // namespace sluice::detail
