// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "operations.hpp"

namespace sluice::detail {

/// The operation goes to the store: `late` is called if it is still there after `timeout`, and may
/// arm the guard again.
template <class Base>
void arm_guard(guarded<Base>& op, loop& io, duration timeout,
               void (*late)(guarded<Base>&) noexcept) {
    op.running = true;
    op.on_overdue = late;
    io.arm(op.guard, saturating_add(io.now(), timeout));
}

template <class Base>
void disarm_guard(guarded<Base>& op, loop& io) noexcept {
    op.running = false;
    io.disarm(op.guard);
}

}  // namespace sluice::detail
