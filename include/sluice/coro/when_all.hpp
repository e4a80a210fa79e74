// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <coroutine>
#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <sluice/coro/task.hpp>

namespace sluice {

/// Stands for the result of a `task<void>` in a tuple of results.
struct unit {
    friend bool operator==(unit, unit) = default;
};

namespace detail {

/// Counts the children of a when_all; the last to finish continues the waiter.
class when_all_root : public task_root {
 public:
    explicit when_all_root(std::size_t children) noexcept
        : task_root(&when_all_root::child_finished), open_(children + 1) {}
    when_all_root(const when_all_root&) = delete;
    when_all_root& operator=(const when_all_root&) = delete;

    template <class T>
    void start(task<T>& child) noexcept {
        const auto frame = task_access::frame(child);
        frame.promise().set_root(*this);
        frame.resume();
    }

    void set_waiting(std::coroutine_handle<> h) noexcept { waiting_ = h; }

    // release: publishes what the child did; acquire: the last one sees what all did.
    [[nodiscard]] bool leave() noexcept {
        return open_.fetch_sub(1, std::memory_order_acq_rel) == 1;
    }

 private:
    static std::coroutine_handle<> child_finished(task_root& root,
                                                  std::coroutine_handle<>) noexcept {
        auto& self = static_cast<when_all_root&>(root);
        if (self.leave()) {
            return self.waiting_;
        }
        return std::noop_coroutine();
    }

    std::atomic<std::size_t> open_;  // the children, and one while they are being started
    std::coroutine_handle<> waiting_;
};

template <class T>
auto take_result(task<T>& t) {
    if constexpr (std::is_void_v<T>) {
        task_access::frame(t).promise().take();
        return unit{};
    } else {
        return task_access::frame(t).promise().take();
    }
}

}  // namespace detail

template <class... T>
class [[nodiscard]] when_all_awaiter {
 public:
    explicit when_all_awaiter(task<T>... children) noexcept
        : children_(std::move(children)...), root_(sizeof...(T)) {}

    [[nodiscard]] bool await_ready() const noexcept { return sizeof...(T) == 0; }
    // Not inlined: see completion.hpp.
    [[nodiscard, gnu::noinline]] bool await_suspend(std::coroutine_handle<> h) noexcept {
        root_.set_waiting(h);
        std::apply([this](auto&... child) { (root_.start(child), ...); }, children_);
        return !root_.leave();
    }
    auto await_resume() {
        // Braces: the results are taken from the first to the last.
        return std::apply(
            [](auto&... child) {
                return std::tuple<decltype(detail::take_result(child))...>{
                    detail::take_result(child)...};
            },
            children_);
    }

 private:
    std::tuple<task<T>...> children_;
    detail::when_all_root root_;
};

template <class T>
class [[nodiscard]] when_all_vector_awaiter {
 public:
    explicit when_all_vector_awaiter(std::vector<task<T>> children) noexcept
        : children_(std::move(children)), root_(children_.size()) {}

    [[nodiscard]] bool await_ready() const noexcept { return children_.empty(); }
    // Not inlined: see completion.hpp.
    [[nodiscard, gnu::noinline]] bool await_suspend(std::coroutine_handle<> h) noexcept {
        root_.set_waiting(h);
        for (task<T>& child : children_) {
            root_.start(child);
        }
        return !root_.leave();
    }
    auto await_resume() {
        if constexpr (std::is_void_v<T>) {
            for (task<T>& child : children_) {
                detail::take_result(child);
            }
        } else {
            std::vector<T> results;
            results.reserve(children_.size());
            for (task<T>& child : children_) {
                results.push_back(detail::take_result(child));
            }
            return results;
        }
    }

 private:
    std::vector<task<T>> children_;
    detail::when_all_root root_;
};

/// `co_await when_all(a(), b())`: runs the tasks concurrently and yields a tuple of their results,
/// `unit` for void. Each runs on this thread up to where it first suspends, in order.
///
/// \par Resumption
/// On the thread of the task that finishes last; that is this loop if the tasks stay on it.
///
/// \par Cancellation
/// None of its own: every task is awaited to its end.
///
/// \par Errors
/// When all have finished, the exception of the first task (in order) that has one is rethrown.
template <class... T>
when_all_awaiter<T...> when_all(task<T>... children) noexcept {
    return when_all_awaiter<T...>{std::move(children)...};
}

/// The same for any number of tasks of one kind: yields a vector, or nothing for `task<void>`.
template <class T>
when_all_vector_awaiter<T> when_all(std::vector<task<T>> children) noexcept {
    return when_all_vector_awaiter<T>{std::move(children)};
}

}  // namespace sluice
