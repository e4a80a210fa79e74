// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include <sluice/device/device.hpp>
#include <sluice/stage/block_stage.hpp>
#include <sluice/stage/compute.hpp>
#include <sluice/store/store.hpp>

namespace sluice::detail {

class mover;

/// What every operation of the pipeline's own carries beside what the seam asks for.
template <class Base>
struct staged : Base {
    mover* owner = nullptr;
    std::uint64_t bytes = 0;
    double charge = 0;  ///< predicted seconds
    time_point started{};
    bool credited = false;      ///< counts against its stage's limits
    std::uint32_t starter = 0;  ///< index of the request that started it
    std::uint32_t starter_epoch = 0;
    std::uint32_t entry = 0;
    std::uint32_t index = 0;  ///< of the block in that request
    slot_id l2_slot = no_slot;
};

/// An operation on a store, which may hang.
template <class Base>
struct guarded : staged<Base> {
    guarded() noexcept : guard(*this) {}

    struct watch : timer {
        explicit watch(guarded& o) noexcept
            : timer([](timer& t) noexcept {
                  guarded& op = static_cast<watch&>(t).op;
                  op.on_overdue(op);
              }),
              op(o) {}
        guarded& op;
    } guard;
    void (*on_overdue)(guarded&) noexcept = nullptr;
    bool running = false;  ///< at the store
    bool overdue = false;  ///< the soft timeout has passed: nobody waits for it
};

struct lookup_op : guarded<store_lookup> {
    std::vector<std::uint8_t> found;  ///< what it answers
};
using fetch_op = guarded<store_get>;
using put_op = guarded<store_put>;
using inbound_op = staged<block_op>;
using compute_op = staged<compute_job>;
struct copy_op : staged<device_copy> {
    std::uint32_t group_index = 0;
};

/// Operations that are used again; allocates only while more are in flight than ever before.
template <class Op>
class op_pool {
 public:
    Op& take() {
        if (free_.empty()) {
            return all_.emplace_back();
        }
        Op& op = *free_.back();
        free_.pop_back();
        return op;
    }
    void give_back(Op& op) { free_.push_back(&op); }
    template <class Visit>
    void for_each(Visit visit) {
        for (Op& op : all_) {
            visit(op);
        }
    }
    [[nodiscard]] std::size_t in_use() const noexcept { return all_.size() - free_.size(); }

 private:
    std::deque<Op> all_;
    std::vector<Op*> free_;
};

}  // namespace sluice::detail
