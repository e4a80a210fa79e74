// SPDX-License-Identifier: Apache-2.0
// The C functions about batches.
#include "read.hpp"
#include "status.hpp"
#include "store_object.hpp"
#include "structs.hpp"

namespace sluice::capi {

namespace {

/// Runs `body(batches, store)` for a live handle.
template <class Body>
sluice_status with_batches(std::string_view function, sluice_store* handle, Body body) noexcept {
    return guarded(function, [&]() -> absl::Status {
        const auto found = pin<store_object>(handle);
        if (!found.ok()) {
            return found.status();
        }
        const absl::StatusOr<batch_queue*> batches = (*found)->batches();
        return batches.ok() ? body(**batches, **found) : batches.status();
    });
}

/// As above, with a result that is zero on failure.
template <class Out, class Body>
sluice_status with_result(std::string_view function, sluice_store* handle, Out* out,
                          Body body) noexcept {
    if (out == nullptr) {
        return guarded(function, [] { return null_argument("the result"); });
    }
    *out = Out{};
    return with_batches(function, handle, body);
}

absl::Status check_memory(const void* memory, std::uint64_t bytes) {
    if (bytes == 0 || bytes > UINTPTR_MAX - reinterpret_cast<std::uintptr_t>(memory)) {
        return absl::InvalidArgumentError("bytes is 0, or more than there are behind `memory`");
    }
    return check_array(memory, bytes, "memory");
}

}  // namespace

}  // namespace sluice::capi

using namespace sluice;
using namespace sluice::capi;

extern "C" {

sluice_status sluice_store_register(sluice_store* store, void* memory, uint64_t bytes) noexcept {
    return with_batches("sluice_store_register", store, [&](batch_queue& q, store_object&) {
        const absl::Status s = check_memory(memory, bytes);
        return s.ok() ? q.memory().add({static_cast<std::byte*>(memory), bytes}) : s;
    });
}

sluice_status sluice_store_unregister(sluice_store* store, void* memory, uint64_t bytes) noexcept {
    return with_batches("sluice_store_unregister", store, [&](batch_queue& q, store_object&) {
        const absl::Status s = check_memory(memory, bytes);
        return s.ok() ? q.memory().remove({static_cast<std::byte*>(memory), bytes}) : s;
    });
}

sluice_status sluice_store_submit(sluice_store* store, const sluice_batch* batch,
                                  uint64_t* out_ticket) noexcept {
    return with_result("sluice_store_submit", store, out_ticket,
                       [&](batch_queue& q, store_object&) -> absl::Status {
                           sluice_batch known;
                           absl::Status s = read_struct(batch, known, "sluice_batch");
                           if (!s.ok()) {
                               return s;
                           }
                           const absl::StatusOr<std::uint64_t> ticket = q.submit(known);
                           *out_ticket = ticket.ok() ? *ticket : 0;
                           return ticket.status();
                       });
}

sluice_status sluice_store_event_fd(sluice_store* store, int* out_fd) noexcept {
    return with_result("sluice_store_event_fd", store, out_fd,
                       [&](batch_queue& q, store_object&) -> absl::Status {
                           *out_fd = q.event_fd();
                           return absl::OkStatus();
                       });
}

sluice_status sluice_store_poll(sluice_store* store, sluice_batch_result* out, uint32_t capacity,
                                uint32_t* out_n) noexcept {
    return with_result("sluice_store_poll", store, out_n,
                       [&](batch_queue& q, store_object&) -> absl::Status {
                           if (absl::Status s = check_array(out, capacity, "out"); !s.ok()) {
                               return s;
                           }
                           *out_n = q.poll({out, capacity});
                           return absl::OkStatus();
                       });
}

sluice_status sluice_store_wait(sluice_store* store, uint64_t ticket, uint64_t timeout_ns,
                                sluice_batch_result* out) noexcept {
    return with_result(
        "sluice_store_wait", store, out, [&](batch_queue& q, store_object& s) -> absl::Status {
            if (s.on_loop()) {
                return absl::FailedPreconditionError(
                    "the store is on a loop of yours: run that, and poll");
            }
            if (absl::Status refused = callback_scope::refuse(); !refused.ok()) {
                return refused;
            }
            const absl::StatusOr<sluice_batch_result> result = q.wait(ticket, timeout_ns);
            if (result.ok()) {
                *out = *result;
            }
            return result.status();
        });
}

sluice_status sluice_store_cancel(sluice_store* store, uint64_t ticket) noexcept {
    return with_batches("sluice_store_cancel", store,
                        [&](batch_queue& q, store_object&) { return q.cancel(ticket); });
}

}  // extern "C"
