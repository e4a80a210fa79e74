// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cassert>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <new>
#include <type_traits>
#include <utility>

#include <sluice/coro/frame_cache.hpp>

namespace sluice {

template <class T = void>
class task;

namespace detail {

/// What stands behind a task that no coroutine awaits: a scope, a when_all, a blocked thread.
struct task_root {
    /// The task has finished and is suspended for good. May free its frame. Returns what runs next.
    using function = std::coroutine_handle<> (*)(task_root&,
                                                 std::coroutine_handle<> frame) noexcept;

    explicit task_root(function f) noexcept : finished(f) {}

    function finished;
};

class task_promise_base {
 public:
    class final_awaiter {
     public:
        final_awaiter() noexcept {}  // NOLINT: a constructor of our own, for GCC 12
        [[nodiscard]] bool await_ready() const noexcept { return false; }
        template <class Promise>
        std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> done) noexcept {
            const task_promise_base& p = done.promise();
            // Nothing of the frame may be touched after `finished`.
            return p.root_ == nullptr ? p.waiting_ : p.root_->finished(*p.root_, done);
        }
        void await_resume() const noexcept {}
    };

    static void* operator new(std::size_t size) { return frame_cache::allocate(size); }
    static void operator delete(void* frame, std::size_t size) noexcept {
        frame_cache::deallocate(frame, size);
    }

    [[nodiscard]] std::suspend_always initial_suspend() const noexcept { return {}; }
    [[nodiscard]] final_awaiter final_suspend() const noexcept { return {}; }

    void set_waiting(std::coroutine_handle<> waiting) noexcept {
        assert(!waiting_ && root_ == nullptr && "a task is awaited once");
        waiting_ = waiting;
    }
    void set_root(task_root& root) noexcept {
        assert(!waiting_ && root_ == nullptr && "a task is awaited once");
        root_ = &root;
    }

 private:
    std::coroutine_handle<> waiting_;
    task_root* root_ = nullptr;
};

template <class T>
class task_promise final : public task_promise_base {
    using stored = std::conditional_t<std::is_reference_v<T>, std::remove_reference_t<T>*,
                                      std::remove_cv_t<T>>;

 public:
    task_promise() noexcept {}
    task_promise(const task_promise&) = delete;
    task_promise& operator=(const task_promise&) = delete;
    ~task_promise() {
        if (state_ == state::value) {
            value_.~stored();
        } else if (state_ == state::error) {
            error_.~exception_ptr();
        }
    }

    task<T> get_return_object() noexcept;

    template <class U = T>
    requires std::is_constructible_v<T, U&&>
    void return_value(U&& result) noexcept(std::is_nothrow_constructible_v<T, U&&>) {
        if constexpr (std::is_reference_v<T>) {
            T bound = std::forward<U>(result);
            ::new (static_cast<void*>(&value_)) stored(&bound);
        } else {
            ::new (static_cast<void*>(&value_)) stored(std::forward<U>(result));
        }
        state_ = state::value;
    }
    void unhandled_exception() noexcept {
        ::new (static_cast<void*>(&error_)) std::exception_ptr(std::current_exception());
        state_ = state::error;
    }

    /// Moves the result out, or rethrows. Once, after the task has finished.
    T take() {
        if (state_ == state::error) {
            std::rethrow_exception(error_);
        }
        assert(state_ == state::value);
        if constexpr (std::is_reference_v<T>) {
            return static_cast<T>(*value_);
        } else {
            return std::move(value_);
        }
    }

 private:
    enum class state : unsigned char { none, value, error };

    union {
        stored value_;
        std::exception_ptr error_;
    };
    state state_ = state::none;
};

template <>
class task_promise<void> final : public task_promise_base {
 public:
    task<void> get_return_object() noexcept;
    void return_void() const noexcept {}
    void unhandled_exception() noexcept { error_ = std::current_exception(); }
    [[nodiscard]] bool failed() const noexcept { return error_ != nullptr; }
    void take() {
        if (error_ != nullptr) {
            std::rethrow_exception(error_);
        }
    }

 private:
    std::exception_ptr error_;
};

struct task_access;

}  // namespace detail

/// A coroutine that computes a T: lazy, owned by this object, awaited at most once.
///
/// Calling the coroutine function runs nothing; `co_await std::move(t)` (or `co_await f()`) runs it
/// on the awaiting thread and continues the awaiting coroutine on whatever thread it finished. Both
/// ways go by symmetric transfer: no stack grows (GCC needs -foptimize-sibling-calls).
///
/// \par Thread safety
/// None; a task object is used by one thread at a time.
///
/// \par Lifetime
/// The frame lives as long as this object. Destroying a task that has not been started does nothing
/// but free it; a task that has been started must have finished. Reference parameters of the
/// coroutine must live until it has finished.
///
/// \par Cancellation
/// None of its own: a coroutine passes its stop token to what it awaits, and is awaited to the end.
///
/// \par Errors
/// Failures are results (`task<absl::Status>`). An exception of user code is carried and rethrown
/// to the awaiting coroutine; in code built with -fno-exceptions it ends the process.
template <class T>
class [[nodiscard]] task {
    using handle = std::coroutine_handle<detail::task_promise<T>>;

 public:
    using promise_type = detail::task_promise<T>;

    task(task&& other) noexcept : frame_(std::exchange(other.frame_, {})) {}
    task& operator=(task&& other) noexcept {
        std::swap(frame_, other.frame_);
        return *this;
    }
    ~task() {
        if (frame_) {
            frame_.destroy();
        }
    }

    class awaiter {
     public:
        explicit awaiter(handle frame) noexcept : frame_(frame) {}
        [[nodiscard]] bool await_ready() const noexcept { return false; }
        std::coroutine_handle<> await_suspend(std::coroutine_handle<> waiting) noexcept {
            frame_.promise().set_waiting(waiting);
            return frame_;
        }
        T await_resume() { return frame_.promise().take(); }

     private:
        handle frame_;
    };

    /// \pre not moved from, not awaited before.
    awaiter operator co_await() && noexcept {
        assert(frame_ && "awaiting a task that was moved from");
        return awaiter{frame_};
    }

 private:
    friend class detail::task_promise<T>;
    friend struct detail::task_access;

    explicit task(handle frame) noexcept : frame_(frame) {}

    handle frame_;
};

namespace detail {

template <class T>
task<T> task_promise<T>::get_return_object() noexcept {
    return task<T>{std::coroutine_handle<task_promise>::from_promise(*this)};
}

inline task<void> task_promise<void>::get_return_object() noexcept {
    return task<void>{std::coroutine_handle<task_promise>::from_promise(*this)};
}

/// For those who start tasks without awaiting them.
struct task_access {
    template <class T>
    static auto frame(task<T>& t) noexcept {
        assert(t.frame_ && "starting a task that was moved from");
        return t.frame_;
    }
    /// The caller now owns the frame.
    template <class T>
    static auto release(task<T>& t) noexcept {
        assert(t.frame_ && "starting a task that was moved from");
        return std::exchange(t.frame_, {});
    }
};

}  // namespace detail
}  // namespace sluice
