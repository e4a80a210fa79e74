// SPDX-License-Identifier: Apache-2.0
#include "local_memory.hpp"

#include <utility>

#include <fmt/format.h>

namespace sluice::fabric {

absl::Status local_memory::add(std::span<std::byte> memory) {
    if (memory.empty()) {
        return absl::InvalidArgumentError("fabric_store: no memory to register");
    }
    const std::lock_guard lock(mutex_);
    const std::byte* const end = memory.data() + memory.size();
    const auto after = pieces_.lower_bound(memory.data());
    const bool hits_next = after != pieces_.end() && after->first < end;
    const bool hits_previous =
        after != pieces_.begin() &&
        std::prev(after)->first + std::prev(after)->second.memory.size() > memory.data();
    if (hits_next || hits_previous) {
        return absl::InvalidArgumentError(
            fmt::format("fabric_store: {} bytes overlap memory that is registered", memory.size()));
    }
    piece p;
    p.memory = memory;
    for (const auto& [name, d] : domains_) {
        if (absl::Status status = enroll(p, *d); !status.ok()) {
            return status;
        }
    }
    pieces_.emplace(memory.data(), std::move(p));
    return absl::OkStatus();
}

void local_memory::remove(std::span<std::byte> memory) noexcept {
    const std::lock_guard lock(mutex_);
    pieces_.erase(memory.data());
}

absl::StatusOr<std::shared_ptr<domain>> local_memory::domain_for(const std::string& provider,
                                                                 const std::string& host) {
    absl::StatusOr<std::shared_ptr<domain>> fresh =
        domain::open(provider, host, domain::role::client);
    if (!fresh.ok()) {
        return fresh;
    }
    const std::lock_guard lock(mutex_);
    const auto [at, is_new] = domains_.try_emplace((*fresh)->name(), *fresh);
    if (is_new) {
        for (auto& [first, p] : pieces_) {
            if (absl::Status status = enroll(p, **fresh); !status.ok()) {
                domains_.erase(at);
                return status;
            }
        }
    }
    return at->second;
}

bool local_memory::describe(const domain& d, std::span<const std::byte> buffer, void*& descriptor) {
    descriptor = nullptr;
    if (!d.local_regions()) {
        return true;
    }
    const std::lock_guard lock(mutex_);
    auto at = pieces_.upper_bound(buffer.data());
    if (at == pieces_.begin()) {
        return false;
    }
    --at;
    const piece& p = at->second;
    const auto known = p.regions.find(&d);
    if (known == p.regions.end() ||
        buffer.data() + buffer.size() > p.memory.data() + p.memory.size()) {
        return false;
    }
    descriptor = known->second.descriptor();
    return true;
}

absl::Status local_memory::enroll(piece& p, domain& d) {
    if (!d.local_regions()) {
        return absl::OkStatus();
    }
    absl::StatusOr<region> r = d.enroll(p.memory, FI_READ | FI_WRITE);
    if (!r.ok()) {
        return r.status();
    }
    p.regions.emplace(&d, *std::move(r));
    return absl::OkStatus();
}

}  // namespace sluice::fabric
