// SPDX-License-Identifier: Apache-2.0
#include "simulated.hpp"

#include <utility>

#include <sluice/sim/iteration_engine.hpp>
#include <sluice/sim/prefill.hpp>

#include "dice.hpp"

namespace sluice::histories {
namespace {

/// An operation that tells how it ended and goes.
template <class Op>
struct passing : Op {
    passing(loop& home, simulated_seams::ended t) : then(std::move(t)) {
        this->on_completion(home, [](operation& op) noexcept {
            const std::unique_ptr<passing> self(static_cast<passing*>(&op));
            self->then(self->status().code());
        });
    }
    simulated_seams::ended then;
};

/// What a lookup asks, and what it found.
struct question {
    std::vector<block_key> keys;
    std::vector<std::uint8_t> found;
};

// An address that nobody may touch.
std::span<std::byte> nowhere(std::uint64_t bytes) {
    return {reinterpret_cast<std::byte*>(std::uintptr_t{1} << 40), bytes};
}

std::unique_ptr<compute> make_compute(const history& h, loop& on) {
    const simulation& s = *h.c.simulated;
    switch (s.compute) {
    case simulated_compute::as_planned: return nullptr;
    case simulated_compute::prefill: return *sim::prefill::create(s.prefill, on);
    default: break;
    }
    // Some sequences decode for long, so that the batch is full now and then.
    const auto tokens = [seed = h.seed](const compute_job& job) {
        return static_cast<std::uint32_t>(mixed(seed ^ job.query_tokens) % 20);
    };
    return *sim::iteration_engine::create(s.iteration, tokens, {}, on);
}

}  // namespace

simulated_seams::simulated_seams(const history& h, const layout& l1, loop& on)
    : loop_(on),
      network_(*sim::network::create(h.c.simulated->network, on)),
      link_(*sim::link::create(*network_, h.c.simulated->link)),
      device_(*sim::copy_engine::create(h.c.simulated->copies, on)),
      compute_(make_compute(h, on)) {
    static_cast<void>(device_->register_layout(l1));
}

simulated_seams::~simulated_seams() = default;

operation& simulated_seams::get(std::uint64_t key, std::uint64_t bytes, ended then) {
    auto* const op = new passing<store_get>(loop_, std::move(then));
    op->key = block_key::from_u64(key);
    op->into = nowhere(bytes);
    store_get* const ops[] = {op};
    link_->get(ops);
    return *op;
}

operation& simulated_seams::put(std::uint64_t key, std::uint64_t bytes, ended then) {
    auto* const op = new passing<store_put>(loop_, std::move(then));
    op->key = block_key::from_u64(key);
    op->from = nowhere(bytes);
    store_put* const ops[] = {op};
    link_->put(ops);
    return *op;
}

operation& simulated_seams::lookup(std::span<const block_key> keys,
                                   std::function<void(std::vector<std::uint8_t>)> then) {
    const auto q = std::make_shared<question>();
    q->keys.assign(keys.begin(), keys.end());
    q->found.resize(keys.size());
    auto* const op = new passing<store_lookup>(
        loop_, [q, then = std::move(then)](absl::StatusCode) { then(std::move(q->found)); });
    op->keys = q->keys;
    op->present = q->found;
    link_->lookup(*op);
    return *op;
}

void simulated_seams::hold(std::uint64_t key, std::uint64_t bytes) {
    network_->hold(block_key::from_u64(key), bytes);
}

void simulated_seams::forget(std::uint64_t key) { network_->forget(block_key::from_u64(key)); }

void simulated_seams::copy_in(const device_copy& op, ended then) {
    auto* const copy = new passing<device_copy>(loop_, std::move(then));
    copy->host = op.host;
    copy->group = op.group;
    copy->slot = op.slot;
    device_copy* const ops[] = {copy};
    device_->copy_in(ops);
}

void simulated_seams::copy_out(const device_copy& op, ended then) {
    auto* const copy = new passing<device_copy>(loop_, std::move(then));
    copy->host = op.host;
    copy->group = op.group;
    copy->slot = op.slot;
    device_copy* const ops[] = {copy};
    device_->copy_out(ops);
}

void simulated_seams::compute(const compute_job& job, ended then) {
    auto* const same = new passing<compute_job>(loop_, std::move(then));
    same->query_tokens = job.query_tokens;
    same->context_tokens = job.context_tokens;
    compute_->start(*same);
}

}  // namespace sluice::histories
