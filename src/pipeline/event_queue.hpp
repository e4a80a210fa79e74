// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mutex>
#include <span>

#include <sluice/pipeline.hpp>
#include <sluice/sched/indexed_heap.hpp>

#include "../readable_event.hpp"
#include "rank_key.hpp"
#include "request.hpp"

namespace sluice::detail {

/// Events on their way to the engine, and the requests that wait for its compute. Allocates nothing
/// per event: a request has at most one of each kind waiting, and is queued itself.
///
/// \par Thread safety
/// All members, any thread.
class event_queue {
 public:
    event_queue() = default;
    event_queue(const event_queue&) = delete;
    event_queue& operator=(const event_queue&) = delete;

    [[nodiscard]] bool valid() const noexcept { return readable_.valid(); }
    [[nodiscard]] int fd() const noexcept { return readable_.fd(); }

    /// Queues an event that is not an outcome; `blocks` as the kind says.
    void push(request& r, event_kind kind, std::uint32_t blocks = 0);
    /// Queues the outcome.
    void push_outcome(request& r, event_kind kind, std::uint32_t blocks, bool busy,
                      absl::Status status);
    /// Whether events of `r` have not been taken yet.
    [[nodiscard]] bool waiting(const request& r);
    /// The pipeline is closing: events are thrown away from now on.
    void close();
    /// Takes the oldest requests' events, each request's in the order of its life.
    std::size_t poll(std::span<request_event> out);

    /// \name Requests that are ready for the engine's compute, best rank first
    ///@{
    void offer(const request& r, std::uint64_t rank);
    void rerank(const request& r, std::uint64_t rank);
    void withdraw(const request& r);
    /// The best, taken out; a default handle if there is none.
    request_handle take();
    ///@}

 private:
    void enqueue(request& r);

    std::mutex mutex_;
    request* head_ = nullptr;
    request* tail_ = nullptr;
    readable_event readable_;
    bool closed_ = false;
    indexed_heap<rank_key> offers_;
    std::vector<request_handle> offered_;  // by index
};

}  // namespace sluice::detail
