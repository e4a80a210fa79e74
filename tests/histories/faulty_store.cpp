// SPDX-License-Identifier: Apache-2.0
#include "faulty_store.hpp"

#include <utility>

#include <fmt/format.h>

namespace sluice::histories {

faulty_store::faulty_store(seam_world& w)
    : w_(w),
      lookups_(w.h, w.h.c.lookup),
      gets_(w.h, w.h.c.get, w.h.c.drift),
      puts_(w.h, w.h.c.put, w.h.c.drift) {
    for (const std::uint64_t key : w.h.c.stored) {
        remember(key);
    }
    for (std::uint64_t n = 0; n < w.h.requests.size(); ++n) {
        if (!w.h.requests[n].ids.empty()) {
            lookup_of_.emplace(key_value(0, w.h.requests[n].ids[0]), n);
        }
    }
}

faulty_store::~faulty_store() {
    if (registered_) {
        w_.check.fail("store", "memory is still registered");
    }
}

absl::Status faulty_store::register_memory(std::span<std::byte> memory) {
    registered_ = true;
    w_.check.l2_is(memory);
    return absl::OkStatus();
}

void faulty_store::unregister_memory(std::span<std::byte>) noexcept {
    registered_ = false;
    if (!running_.empty()) {
        w_.check.fail("store", "memory is unregistered while operations are under way");
    }
}

faulty_store::running& faulty_store::start(operation& op, seam at, std::uint64_t key,
                                           const fault* f, transfer t) {
    if (running_.contains(&op)) {
        w_.check.fail("store", fmt::format("a {} is started while it is under way", name_of(at)));
    }
    t.at = at;
    t.key = key;
    running& r = running_[&op];
    r = running{};
    r.at = at;
    r.serial = ++serial_;
    r.ticket = w_.check.begins(t);
    r.key = key;
    r.planted = f;
    return r;
}

void faulty_store::end_later(operation& op, const running& r, time_point when) {
    if (r.planted != nullptr && r.planted->kind == fault_kind::hang) {
        return;
    }
    w_.clock.at(when, [this, &op, serial = r.serial] { end(op, serial, false); });
}

template <class Begin>
void faulty_store::simulate(operation& op, running& r, Begin begin) {
    if (r.planted != nullptr && r.planted->kind == fault_kind::hang) {
        return;
    }
    r.passing = &begin(
        [this, &op, serial = r.serial](absl::StatusCode how) { simulated_end(op, serial, how); });
}

faulty_store::running* faulty_store::find(operation& op, std::uint64_t serial) {
    const auto it = running_.find(&op);
    return it == running_.end() || it->second.serial != serial ? nullptr : &it->second;
}

void faulty_store::simulated_end(operation& op, std::uint64_t serial, absl::StatusCode how) {
    running& r = *find(op, serial);
    r.passing = nullptr;
    r.how = how;
    if (how == absl::StatusCode::kInvalidArgument) {
        w_.check.fail("simulation", fmt::format("a {} of key {} is refused", name_of(r.at), r.key));
    }
    const duration extra = r.planted != nullptr ? r.planted->extra : duration{0};
    w_.clock.after(extra, [this, &op, serial] {
        if (const running* const still = find(op, serial); still != nullptr) {
            end(op, serial, still->aborted);
        }
    });
}

void faulty_store::forget(std::uint64_t key) {
    forms_.erase(key);
    if (w_.sim != nullptr) {
        w_.sim->forget(key);
    }
}

void faulty_store::remember(std::uint64_t key) {
    forms_[key] = w_.h.c.stages;
    if (w_.sim != nullptr) {
        w_.sim->hold(key, w_.l1.form().block_bytes(group_of(key)));
    }
}

void faulty_store::lookup(store_lookup& op) noexcept {
    const std::uint64_t first = value_of(op.keys.front());
    const auto it = lookup_of_.find(first);
    const fault* const f =
        it == lookup_of_.end() ? nullptr : w_.faults.next(seam::lookup, it->second);
    running& r = start(op, seam::lookup, first, f, {});
    if (w_.sim == nullptr) {
        end_later(op, r, lookups_.end_of(w_.clock.now(), op.keys.size(), f));
        return;
    }
    simulate(op, r, [&](const auto& then) -> operation& {
        return w_.sim->lookup(
            op.keys, [this, &op, serial = r.serial, then](std::vector<std::uint8_t> found) {
                find(op, serial)->present = std::move(found);
                then(absl::StatusCode::kOk);
            });
    });
}

void faulty_store::get(std::span<store_get* const> ops) noexcept {
    for (store_get* const op : ops) {
        const std::uint64_t key = value_of(op->key);
        const fault* const f = w_.faults.next(seam::get, key);
        transfer t;
        t.l2 = op->into.data();
        t.writes_l2 = true;
        running& r = start(*op, seam::get, key, f, t);
        if (op->into.size() != w_.l1.form().block_bytes(group_of(key))) {
            w_.check.fail("get", fmt::format("key {}: a block of another size", key));
        }
        w_.order.get_starts(key, op->into.data());
        scribble(op->into);  // it may arrive in any order
        if (w_.sim == nullptr) {
            end_later(*op, r, gets_.end_of(w_.clock.now(), op->into.size(), f));
            continue;
        }
        simulate(*op, r, [&](const auto& then) -> operation& {
            return w_.sim->get(key, op->into.size(), then);
        });
    }
}

void faulty_store::put(std::span<store_put* const> ops) noexcept {
    for (store_put* const op : ops) {
        const std::uint64_t key = value_of(op->key);
        const fault* const f = w_.faults.next(seam::put, key);
        transfer t;
        t.l2 = op->from.data();
        running& r = start(*op, seam::put, key, f, t);
        if (w_.sim == nullptr) {
            end_later(*op, r, puts_.end_of(w_.clock.now(), op->from.size(), f));
            continue;
        }
        simulate(*op, r, [&](const auto& then) -> operation& {
            return w_.sim->put(key, op->from.size(), then);
        });
    }
}

void faulty_store::remove(store_remove& op) noexcept {
    for (const block_key& key : op.keys) {
        forget(value_of(key));
    }
    op.complete(absl::OkStatus());
}

void faulty_store::abort(operation& op) noexcept {
    const auto it = running_.find(&op);
    if (it == running_.end()) {
        return;  // it has completed
    }
    running& r = it->second;
    r.aborted = true;
    if (r.passing != nullptr) {
        w_.sim->abort(*r.passing);
        return;
    }
    const duration extra = r.planted != nullptr ? r.planted->extra : duration{0};
    w_.clock.after(extra, [this, o = &op, serial = r.serial] { end(*o, serial, true); });
}

void faulty_store::end(operation& op, std::uint64_t serial, bool aborted) {
    const auto it = running_.find(&op);
    if (it == running_.end() || it->second.serial != serial) {
        return;  // it has ended the other way
    }
    const running r = it->second;
    running_.erase(it);
    absl::Status status;
    std::uint64_t bytes = 0;
    switch (r.at) {
    case seam::lookup: status = end_lookup(static_cast<store_lookup&>(op), r, aborted); break;
    case seam::get: {
        auto& get = static_cast<store_get&>(op);
        status = end_get(get, r, aborted);
        bytes = get.into.size();
        break;
    }
    default: {
        auto& put = static_cast<store_put&>(op);
        status = end_put(put, r, aborted);
        bytes = put.from.size();
        break;
    }
    }
    w_.check.ends(r.ticket, status.code(), bytes);
    op.complete(std::move(status));
}

absl::Status faulty_store::end_lookup(store_lookup& op, const running& r, bool aborted) {
    w_.order.looked_up(r.key);
    const fault_kind kind = r.planted != nullptr ? r.planted->kind : fault_kind::delay;
    if (aborted || kind == fault_kind::fail) {
        for (std::uint8_t& p : op.present) {
            p = 1;  // what a failed lookup leaves there says nothing
        }
        return absl::UnavailableError("");
    }
    for (std::size_t i = 0; i < op.keys.size(); ++i) {
        const bool there =
            forms_.contains(value_of(op.keys[i])) && (w_.sim == nullptr || r.present[i] != 0);
        op.present[i] = kind == fault_kind::lie_yes || (there && kind != fault_kind::lie_no);
    }
    return absl::OkStatus();
}

absl::Status faulty_store::end_get(store_get& op, const running& r, bool aborted) {
    const fault_kind kind = r.planted != nullptr ? r.planted->kind : fault_kind::delay;
    scribble(op.into);
    if (aborted) {
        return absl::UnavailableError("");
    }
    if (r.how != absl::StatusCode::kOk) {
        return {r.how, ""};
    }
    switch (kind) {
    case fault_kind::miss: return absl::NotFoundError("");
    case fault_kind::fail: return absl::UnavailableError("");
    case fault_kind::expired: return absl::DeadlineExceededError("");
    case fault_kind::corrupt: forget(r.key); return absl::DataLossError("");
    default: break;
    }
    const auto it = forms_.find(r.key);
    if (it == forms_.end()) {
        return absl::NotFoundError("");
    }
    fill_block(op.into, r.key, it->second);
    if (w_.h.c.stages == 0) {
        w_.order.landed(r.key, op.into.data());
    }
    return absl::OkStatus();
}

absl::Status faulty_store::end_put(store_put& op, const running& r, bool aborted) {
    const fault_kind kind = r.planted != nullptr ? r.planted->kind : fault_kind::delay;
    if (aborted || kind == fault_kind::fail) {
        return absl::UnavailableError("");
    }
    if (kind == fault_kind::no_room) {
        return absl::ResourceExhaustedError("");
    }
    if (r.how != absl::StatusCode::kOk) {
        return {r.how, ""};
    }
    if (!holds_block(op.from, r.key)) {
        w_.check.fail("put-bytes", fmt::format("what is stored under key {} is not its block, it "
                                               "claims to be key {}",
                                               r.key, claimed_key(op.from)));
    }
    forms_.emplace(r.key, 0);
    return absl::OkStatus();
}

}  // namespace sluice::histories
