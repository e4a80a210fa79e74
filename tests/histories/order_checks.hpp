// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "checker.hpp"

namespace sluice::histories {

/// Who may start before whom, as far as it can be told at the seams: in histories in which nothing
/// fails, no load times out, and for requests none of whose blocks another one names.
///
/// "Has work" means: since an earlier instant, so that every loop has had its turn.
class order_checks {
 public:
    order_checks(const history& h, checker& c);

    void looked_up(std::uint64_t first_key);
    void get_starts(std::uint64_t key, const std::byte* slot);
    void landed(std::uint64_t key, const std::byte* slot);
    void copy_starts(std::uint64_t key);
    void copy_ended(std::uint64_t key);
    void compute_starts(const watched& r);
    /// All reports are known: the order of grants.
    void at_end(const pipeline_stats& s);

 private:
    struct block {
        bool needed = false;
        bool fetching = false;  ///< its fetch has started
        time_point landed_at = never;
        bool copying = false;  ///< its copy has started
        bool copied = false;
    };
    struct line {
        bool exact = false;  ///< no block is shared
        std::uint32_t plan = 0;
        time_point looked_up_at = never;
        bool fetched_any = false;
        bool compute_started = false;
        std::vector<block> blocks;
    };

    [[nodiscard]] bool is_live(const watched& r) const {
        return r.accepted && !r.has_outcome && !r.ended_early;
    }
    [[nodiscard]] bool overdue_before(const watched& a, const watched& b) const;
    [[nodiscard]] bool goes_before(const watched& a, const watched& b) const;
    [[nodiscard]] bool waits_to_fetch(std::uint32_t n) const;
    [[nodiscard]] bool waits_to_copy(std::uint32_t n) const;
    void check_steal(std::uint32_t taker, const std::byte* slot);
    void violated(const char* stage, const watched& later, const watched& earlier);

    const history& h_;
    checker& c_;
    bool checks_ = false;  ///< anything at all
    bool fifo_ = false;
    bool plenty_l2_ = false;  ///< nobody waits for a slot
    bool plenty_l1_ = false;
    std::optional<duration> aging_;                    ///< the outermost wrapper's
    std::map<std::uint64_t, std::uint32_t> owner_;     ///< of blocks that only one request names
    std::vector<line> lines_;                          ///< by request
    std::map<const std::byte*, std::uint64_t> slots_;  ///< what has landed there
};

}  // namespace sluice::histories
