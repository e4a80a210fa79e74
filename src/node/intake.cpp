// SPDX-License-Identifier: Apache-2.0
#include "intake.hpp"

#include <algorithm>
#include <utility>

#include "../copy_bytes.hpp"

namespace sluice::node {
namespace {

constexpr std::size_t piece_bytes = 256 * 1024;  // copied, then summed up while it is in the cache
constexpr std::size_t least_cost = 1024;         // of a block, as if it had so many bytes

wire::commit_verdict verdict_of(block_pool::committed how) noexcept {
    switch (how) {
    case block_pool::committed::stored: return wire::commit_verdict::stored;
    case block_pool::committed::exists: return wire::commit_verdict::exists;
    case block_pool::committed::unknown: break;
    }
    return wire::commit_verdict::unknown;
}

}  // namespace

intake::alarm::alarm(intake& i) noexcept
    : timer([](timer& t) noexcept { static_cast<alarm&>(t).self->take_turn(); }), self(&i) {}

intake::intake(loop& on, block_pool& pool, std::span<std::byte> memory,
               node_metrics& counts) noexcept
    : loop_(on), pool_(pool), memory_(memory), counts_(counts), alarm_(*this) {}

intake::~intake() { loop_.disarm(alarm_); }

void intake::client::forget() noexcept {
    jobs_.clear();
    item_ = 0;
    done_ = 0;
    std::erase(intake_->line_, this);
}

void intake::commit(client& c, std::uint64_t id, wire::commit request, std::uint64_t owner,
                    std::span<const std::byte> staging) {
    c.owner_ = owner;
    c.staging_ = staging;
    c.jobs_.emplace_back(commit_job{id, std::move(request), {}});
    line_up(c);
}

void intake::report(client& c, std::uint64_t id, wire::report request) {
    c.jobs_.emplace_back(report_job{id, std::move(request)});
    line_up(c);
}

void intake::line_up(client& c) {
    if (c.jobs_.size() == 1) {
        line_.push_back(&c);
    }
    // By a timer, not by a post: between timers the loop looks at its descriptors every time.
    if (!alarm_.armed()) {
        loop_.arm(alarm_, loop_.now());
    }
}

void intake::take_turn() {
    std::size_t budget = bytes_per_turn;
    while (budget > 0 && !line_.empty()) {
        client& c = *line_.front();
        while (!c.jobs_.empty() && advance(c, budget)) {
            c.jobs_.pop_front();
            c.item_ = 0;
        }
        line_.pop_front();
        if (!c.jobs_.empty()) {
            line_.push_back(&c);
        }
    }
    counts_.publish(pool_.stats());
    if (!line_.empty()) {
        loop_.arm(alarm_, loop_.now());
    }
}

// \return whether the first job is done
bool intake::advance(client& c, std::size_t& budget) {
    return std::visit([&](auto& job) { return advance(c, job, budget); }, c.jobs_.front());
}

bool intake::advance(client& c, commit_job& job, std::size_t& budget) {
    for (; c.item_ < job.request.blocks.size(); ++c.item_) {
        std::optional<wire::commit_verdict> verdict;
        if (budget > 0) {
            verdict = take_in(c, job.request.blocks[c.item_], budget);
        }
        if (!verdict) {
            return false;
        }
        budget -= std::min(budget, least_cost);
        c.done_ = 0;
        job.answer.verdicts.push_back(*verdict);
    }
    counts_.publish(pool_.stats());  // who has the answer finds the blocks counted
    c.on_committed(job);
    return true;
}

// \return nothing while it is not done
std::optional<wire::commit_verdict> intake::take_in(client& c, const wire::commit::block& block,
                                                    std::size_t& budget) {
    if (block.abandon) {
        return pool_.abandon(block.token, c.owner_) ? wire::commit_verdict::stored
                                                    : wire::commit_verdict::unknown;
    }
    // Asked every time: it may have been given back while others had their turn.
    const std::optional<block_pool::grant> grant = pool_.reservation(block.token, c.owner_);
    if (!grant) {
        return wire::commit_verdict::unknown;
    }
    // Here too, as it may have been reserved after the request had been looked at.
    if (grant->length > c.staging_.size() ||
        block.staging_offset > c.staging_.size() - grant->length) {
        pool_.abandon(block.token, c.owner_);
        return wire::commit_verdict::unknown;
    }
    // The sum is of the bytes in their place, which the client cannot write to.
    if (!sum_up(c, grant->offset, grant->length,
                c.staging_.subspan(block.staging_offset, grant->length), budget)) {
        return std::nullopt;
    }
    if (c.sum_.value() != block.checksum) {
        pool_.abandon(block.token, c.owner_);
        counts_.damaged.add();
        return wire::commit_verdict::damaged;
    }
    const block_pool::committed how =
        pool_.commit(block.token, c.owner_, block.checksum, loop_.now());
    if (how == block_pool::committed::stored) {
        counts_.puts.add();
    }
    return verdict_of(how);
}

bool intake::advance(client& c, report_job& job, std::size_t& budget) {
    const wire::report& r = job.request;
    wire::reported answer;
    const std::optional<block_place> place = pool_.peek(r.key);
    if (place && place->generation == r.generation) {
        if (!sum_up(c, place->offset, place->length, std::nullopt, budget)) {
            return false;
        }
        if (c.sum_.value() != place->checksum) {
            answer.dropped = pool_.drop(r.key, r.generation, loop_.now());
            counts_.damaged.add();
        }
    }
    c.done_ = 0;
    c.on_reported(job.id, answer);
    return true;
}

bool intake::sum_up(client& c, std::uint64_t offset, std::uint64_t length,
                    std::optional<std::span<const std::byte>> from, std::size_t& budget) {
    if (c.done_ == 0) {
        c.sum_.start();
    }
    while (c.done_ < length) {
        const auto n = std::min<std::size_t>({length - c.done_, budget, piece_bytes});
        if (n == 0) {
            return false;
        }
        const std::span<std::byte> to = memory_.subspan(offset + c.done_, n);
        if (from) {
            detail::copy_bytes(to.data(), from->subspan(c.done_, n).data(), n);
        }
        c.sum_.add(to);
        c.done_ += n;
        budget -= n;
    }
    return true;
}

}  // namespace sluice::node
