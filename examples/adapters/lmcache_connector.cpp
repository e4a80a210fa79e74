// SPDX-License-Identifier: Apache-2.0
#include "lmcache_connector.hpp"

#include <stdexcept>

#include "key_hash.hpp"

namespace sluice_adapters {

using lmcache::connector::Completion;

namespace {

void check(sluice_status status) {
    if (status != SLUICE_OK) {
        throw std::runtime_error(std::string(sluice_status_name(status)) + ": " +
                                 sluice_last_error());
    }
}

/// Lookups are small and wait for nobody; a load is waited for by a request, a store by nobody.
double rank_of(std::uint32_t kind) {
    return kind == SLUICE_BATCH_GET ? 1 : kind == SLUICE_BATCH_PUT ? 2 : 0;
}

}  // namespace

lmcache_connector::lmcache_connector(const lmcache_options& o) : name_space_(o.name_space) {
    if (o.nodes == "memory") {
        sluice_memory_store_options options = SLUICE_MEMORY_STORE_OPTIONS_INIT;
        options.flags = SLUICE_STORE_EVICT;
        options.capacity = o.capacity;
        check(sluice_store_open_memory(&options, &store_));
    } else {
        sluice_fabric_store_options options = SLUICE_FABRIC_STORE_OPTIONS_INIT;
        options.nodes = o.nodes.c_str();
        options.secret_file = o.secret_file.empty() ? nullptr : o.secret_file.c_str();
        options.replicas = o.replicas;
        options.connections = o.connections;
        check(sluice_store_open_fabric(&options, &store_));
    }
    int fd = -1;
    if (const sluice_status status = sluice_store_event_fd(store_, &fd); status != SLUICE_OK) {
        const std::string text = sluice_last_error();
        sluice_store_close(store_);
        throw std::runtime_error(text);
    }
    fd_ = fd;
}

std::uint64_t lmcache_connector::submit_batch_get(const std::vector<std::string>& keys,
                                                  const std::vector<void*>& bufs,
                                                  const std::vector<std::size_t>& lens,
                                                  std::size_t) {
    return start(SLUICE_BATCH_GET, keys, &bufs, &lens);
}

std::uint64_t lmcache_connector::submit_batch_set(const std::vector<std::string>& keys,
                                                  const std::vector<void*>& bufs,
                                                  const std::vector<std::size_t>& lens,
                                                  std::size_t) {
    return start(SLUICE_BATCH_PUT, keys, &bufs, &lens);
}

std::uint64_t lmcache_connector::submit_batch_exists(const std::vector<std::string>& keys) {
    return start(SLUICE_BATCH_EXISTS, keys, nullptr, nullptr);
}

// A delete says for each key whether it was there: it looks first, and removes when drained.
std::uint64_t lmcache_connector::submit_batch_delete(const std::vector<std::string>& keys) {
    return start(SLUICE_BATCH_EXISTS, keys, nullptr, nullptr, true);
}

std::uint64_t lmcache_connector::start(std::uint32_t kind, const std::vector<std::string>& keys,
                                       const std::vector<void*>* bufs,
                                       const std::vector<std::size_t>* lens, bool deletes) {
    if (keys.empty()) {
        throw std::runtime_error("a batch has at least one key");
    }
    if (bufs != nullptr && (keys.size() != bufs->size() || keys.size() != lens->size())) {
        throw std::runtime_error("keys, buffers and lengths are not as many");
    }
    batch b;
    b.deletes = deletes;
    b.results.assign(keys.size(), SLUICE_E_CANCELLED);
    b.keys.reserve(keys.size());
    for (const std::string& name : keys) {
        b.keys.push_back(key_hash(name_space_ + '\0' + name));
    }
    if (bufs != nullptr) {
        b.memory = *bufs;
        b.bytes.assign(lens->begin(), lens->end());
    }
    const std::scoped_lock lock(mutex_);  // whoever drains its end finds it
    const std::uint64_t id = ++last_id_;
    batch& kept = batches_.emplace(id, std::move(b)).first->second;
    if (const sluice_status status = submit(id, kept, kind); status != SLUICE_OK) {
        batches_.erase(id);
        check(status);
    }
    return id;
}

sluice_status lmcache_connector::submit(std::uint64_t id, batch& b, std::uint32_t kind) {
    sluice_batch given = SLUICE_BATCH_INIT;
    given.kind = kind;
    given.keys = b.keys.data();
    given.key_size = sizeof(key);
    given.n = static_cast<std::uint32_t>(b.keys.size());
    given.memory = b.memory.data();
    given.bytes = b.bytes.data();
    given.results = b.results.data();
    given.rank = rank_of(kind);
    given.user = id;
    std::uint64_t ticket = 0;
    return sluice_store_submit(store_, &given, &ticket);
}

std::vector<Completion> lmcache_connector::drain_completions() {
    std::vector<Completion> out;
    std::array<sluice_batch_result, 64> ended{};
    std::uint32_t n = 0;
    // After close() the store is not found, and that is all.
    while (sluice_store_poll(store_, ended.data(), 64, &n) == SLUICE_OK && n > 0) {
        for (std::uint32_t i = 0; i < n; ++i) {
            if (Completion c; finish(ended[i], c)) {
                out.push_back(std::move(c));
            }
        }
    }
    return out;
}

// False: there is no completion yet.
bool lmcache_connector::finish(const sluice_batch_result& ended, Completion& out) {
    const std::scoped_lock lock(mutex_);
    const auto it = batches_.find(ended.user);
    if (it == batches_.end()) {
        return false;
    }
    batch& b = it->second;
    std::vector<std::uint8_t> done(b.results.size());
    for (std::size_t i = 0; i < done.size(); ++i) {
        done[i] = b.results[i] == SLUICE_OK && (b.found.empty() || b.found[i] != 0) ? 1 : 0;
    }
    sluice_status failure = ended.status;
    if (failure == SLUICE_E_NOT_FOUND && ended.kind != SLUICE_BATCH_PUT) {
        failure = SLUICE_OK;
    }
    if (b.deletes && b.found.empty() && ended.succeeded > 0 && failure == SLUICE_OK) {
        b.found = done;
        failure = submit(ended.user, b, SLUICE_BATCH_REMOVE);
        if (failure == SLUICE_OK) {
            return false;
        }
        done.assign(done.size(), 0);
    }
    out.future_id = ended.user;
    // Of a get that has ended, each key's own result counts: what has come is used.
    out.ok = failure == SLUICE_OK || ended.kind == SLUICE_BATCH_GET;
    if (!out.ok) {
        out.error = std::string(sluice_status_name(failure)) + ": " +
                    std::to_string(ended.succeeded) + " of " + std::to_string(done.size()) +
                    " keys succeeded";
    }
    out.result_bytes = std::move(done);
    batches_.erase(it);
    return true;
}

void lmcache_connector::close() {
    if (closed_.exchange(true)) {
        return;
    }
    fd_ = -1;  // the store closes it
    sluice_store_close(store_);
    const std::scoped_lock lock(mutex_);
    batches_.clear();
}

}  // namespace sluice_adapters
