// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <mutex>
#include <span>
#include <unordered_map>
#include <vector>

#include <absl/status/status.h>

#include <sluice/pipeline.hpp>

#include "message.hpp"

namespace sluice::split {

/// A rank's side: carries out plans on a pipeline of its own, and tells what becomes of them. It is
/// the pipeline's only user.
///
/// \par Thread safety
/// All members, any thread.
class worker {
 public:
    /// \pre `pipe` has engine-owned L1, the engine drives, and nobody else submits or polls.
    explicit worker(pipeline& pipe) noexcept : pipe_(pipe) {}

    /// \param suffix  is appended to every key. \return kInvalidArgument: not the next plan, or a
    ///        key is too long then; nothing is done then.
    absl::Status import_plan(std::span<const std::byte> bytes, std::span<const std::byte> suffix);

    /// Hands what has happened, at `rank`, to `take(bytes)`, which says whether it has taken them;
    /// else they are part of the next report. No bytes: nothing has happened.
    template <class Take>
    absl::Status export_report(std::uint32_t rank, Take take) {
        const std::scoped_lock lock(mutex_);
        drain();
        const std::vector<std::byte> bytes = encoded(rank);
        absl::Status status = take(std::span(bytes));
        if (status.ok()) {
            news_.facts.clear();
        }
        return status;
    }

 private:
    struct live {
        request_handle handle;
        bool storing = false;
        bool write_back = false;
        bool ended = false;  // has had its outcome
        bool over = false;   // and is not to be released any more
        bool quiesce_owed = false;
        bool stored_owed = false;
        absl::Status failure;  // of an order; the outcome will say so
    };
    using table = std::unordered_map<std::uint64_t, live>;

    void drain();
    [[nodiscard]] std::vector<std::byte> encoded(std::uint32_t rank);
    void obey(const order& o);
    void begin(const order& o);
    void begin_store(const order& o);
    void happened(std::uint64_t id, live& l, const request_event& e);
    void ended(std::uint64_t id, live& l, const request_event& e);
    fact& tell(std::uint64_t id, fact::kind what, std::uint32_t blocks = 0);
    void tell_failed(std::uint64_t id, const absl::Status& status);
    void forget_if_over(table::iterator at);

    pipeline& pipe_;
    std::mutex mutex_;  // guards what follows
    std::uint64_t last_sequence_ = 0;
    table live_;  // by the planner's id
    report news_;
};

}  // namespace sluice::split
