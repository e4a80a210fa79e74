// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include <sluice/store/store.hpp>

#include "faults.hpp"

namespace sluice::histories {

/// A store that does what a history says: blocks are computed from their keys, and what is written
/// is written at the last moment, so that memory that was given to somebody else shows.
class faulty_store final : public store {
 public:
    explicit faulty_store(seam_world& w);
    ~faulty_store() override;

    absl::Status register_memory(std::span<std::byte> memory) override;
    void unregister_memory(std::span<std::byte> memory) noexcept override;
    void lookup(store_lookup& op) noexcept override;
    void get(std::span<store_get* const> ops) noexcept override;
    void put(std::span<store_put* const> ops) noexcept override;
    void remove(store_remove& op) noexcept override;
    void abort(operation& op) noexcept override;

    /// The store loses, or gets, a block.
    void forget(std::uint64_t key);
    void remember(std::uint64_t key);

 private:
    struct running {
        seam at = seam::get;
        std::uint64_t serial = 0;
        std::uint32_t ticket = 0;
        std::uint64_t key = 0;
        const fault* planted = nullptr;
        // Simulated:
        operation* passing = nullptr;  ///< while it is under way
        bool aborted = false;
        absl::StatusCode how = absl::StatusCode::kOk;
        std::vector<std::uint8_t> present;  ///< lookups
    };

    running& start(operation& op, seam at, std::uint64_t key, const fault* f, transfer t);
    /// Ends the operation at `when` as it should, unless it hangs.
    void end_later(operation& op, const running& r, time_point when);
    /// Has the simulation end it, unless it hangs.
    /// \param begin  operation&(then): starts it there
    template <class Begin>
    void simulate(operation& op, running& r, Begin begin);
    void simulated_end(operation& op, std::uint64_t serial, absl::StatusCode how);
    [[nodiscard]] running* find(operation& op, std::uint64_t serial);
    void end(operation& op, std::uint64_t serial, bool aborted);
    absl::Status end_get(store_get& op, const running& r, bool aborted);
    absl::Status end_put(store_put& op, const running& r, bool aborted);
    absl::Status end_lookup(store_lookup& op, const running& r, bool aborted);

    seam_world& w_;
    pacing lookups_, gets_, puts_;
    std::map<std::uint64_t, std::uint32_t> forms_;  ///< what is stored, and in which form
    std::map<operation*, running> running_;
    std::map<std::uint64_t, std::uint64_t> lookup_of_;  ///< request by the first key
    std::uint64_t serial_ = 0;
    bool registered_ = false;
};

}  // namespace sluice::histories
