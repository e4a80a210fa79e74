// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

#include <absl/status/status.h>

#include <sluice/demand/prewarm_rule.hpp>

namespace sluice::demand {

/// Names one thing of a warmable: a prefix, an adapter, a kind of worker. The warmable's owner
/// gives them their meaning.
using warm_key = std::uint64_t;

namespace detail {
class warm_inbox;
}

/// How a warmable says that something is warm, or that it will not be. May be copied, called on any
/// thread, and called after the prewarmer is gone; only the first call for one `warm` counts.
class warm_done {
 public:
    warm_done() = default;
    warm_done(std::shared_ptr<detail::warm_inbox> to, std::uint64_t attempt) noexcept;
    void operator()(absl::Status status) const noexcept;

 private:
    std::shared_ptr<detail::warm_inbox> to_;
    std::uint64_t attempt_ = 0;
};

/// The seam between the prewarmer and things that are slow to start: a KV prefix that has to be
/// loaded, an adapter, a container, a model, a worker process.
///
/// \par Thread safety
/// All functions are called on the prewarmer's loop, one at a time, and must not block. They may
/// call `warm_done`, but no function of the prewarmer.
///
/// \par Lifetime
/// Outlives the prewarmers that it is used by, or at least their needs of it.
class warmable {
 public:
    warmable() = default;
    warmable(const warmable&) = delete;
    warmable& operator=(const warmable&) = delete;
    virtual ~warmable() = default;

    /// What it would take to warm `key` now, as well as it is known: asked at every decision.
    [[nodiscard]] virtual warm_cost cost(warm_key key) noexcept = 0;

    /// Starts to warm `key`, and calls `done` once with OK when it is warm or with what went wrong;
    /// the prewarmer tries again later, less and less often. May be called for a key that has been
    /// cooled before its `done` was called.
    virtual void warm(warm_key key, warm_done done) noexcept = 0;

    /// The prewarmer does not ask for `key` to be warm any more; it may be warm or still warming.
    /// `done` may, but need not be called then.
    virtual void cool(warm_key key) noexcept = 0;

    /// `key` is being used, in whatever state it is. It belongs to its user now: neither cooled nor
    /// asked about again before it is next warmed, unless `shared`.
    virtual void used(warm_key key) noexcept { (void)key; }

    /// Whether a use leaves it warm for others who need the same key: an adapter does, a worker
    /// process that serves one application does not.
    [[nodiscard]] virtual bool shared() const noexcept { return true; }
};

}  // namespace sluice::demand
