// SPDX-License-Identifier: Apache-2.0
#include "lmcache_connector.hpp"

#include "key_hash.hpp"

namespace sluice_adapters {

using lmcache::connector::Completion;

lmcache_connector::lmcache_connector(const store_options& o)
    : lmcache_connector(open_store(o), o.name_space) {
    int fd = -1;
    check(sluice_store_event_fd(store_, &fd));
    fd_ = fd;
}

std::uint64_t lmcache_connector::start(std::uint32_t kind, const names& keys, const buffers& bufs,
                                       const lengths& lens) {
    if (keys.empty() || keys.size() != bufs.size() || keys.size() != lens.size()) {
        throw std::runtime_error("no keys, or buffers or lengths are not as many");
    }
    batch b{{}, bufs, {lens.begin(), lens.end()}, {}, kind == SLUICE_BATCH_REMOVE, {}};
    for (const std::string& name : keys) {
        b.keys.push_back(key_hash(name_space_ + '\0' + name));
    }
    b.results.resize(keys.size());
    const std::scoped_lock lock(mutex_);  // whoever drains its end finds it
    batch& kept = batches_[++last_id_] = std::move(b);
    if (const auto s = submit(last_id_, kept, kept.deletes ? SLUICE_BATCH_EXISTS : kind); s != 0) {
        batches_.erase(last_id_);
        check(s);
    }
    return last_id_;
}

sluice_status lmcache_connector::submit(std::uint64_t id, batch& b, std::uint32_t kind) {
    sluice_batch given = SLUICE_BATCH_INIT;
    given.kind = kind;
    given.keys = b.keys.data();
    given.key_size = sizeof b.keys[0];
    given.n = static_cast<std::uint32_t>(b.keys.size());
    given.memory = b.memory.data();
    given.bytes = b.bytes.data();
    given.results = b.results.data();
    // Lookups are small; a request waits for a load, nobody waits for a store.
    given.rank = kind == SLUICE_BATCH_GET ? 1 : kind == SLUICE_BATCH_PUT ? 2 : 0;
    given.user = id;
    std::uint64_t ticket = 0;
    return sluice_store_submit(store_, &given, &ticket);
}

std::vector<Completion> lmcache_connector::drain_completions() {
    std::vector<Completion> out;
    sluice_batch_result ended{};
    std::uint32_t n = 0;
    // After close() the store is not found, and that is all.
    while (sluice_store_poll(store_, &ended, 1, &n) == SLUICE_OK && n > 0) {
        if (Completion c; finish(ended, c)) {
            out.push_back(std::move(c));
        }
    }
    return out;
}

// False: there is no completion yet.
bool lmcache_connector::finish(const sluice_batch_result& ended, Completion& out) {
    const std::scoped_lock lock(mutex_);
    const auto it = batches_.find(ended.user);
    if (it == batches_.end()) {
        return false;  // closed meanwhile
    }
    batch& b = it->second;
    std::vector<std::uint8_t> done(b.results.size());
    for (std::size_t i = 0; i < done.size(); ++i) {
        done[i] = b.results[i] == SLUICE_OK && (b.found.empty() || b.found[i] != 0) ? 1 : 0;
    }
    // A miss is an answer. Of a get each key's own result counts: what has come is used.
    bool ok = ended.status == SLUICE_OK || ended.kind == SLUICE_BATCH_GET ||
              (ended.status == SLUICE_E_NOT_FOUND && ended.kind == SLUICE_BATCH_EXISTS);
    if (b.deletes && b.found.empty() && ok && ended.succeeded > 0) {
        b.found = done;
        if (submit(ended.user, b, SLUICE_BATCH_REMOVE) == SLUICE_OK) {
            return false;
        }
        ok = false;
        done.assign(done.size(), 0);
    }
    out.future_id = ended.user;
    out.ok = ok;
    out.result_bytes = std::move(done);
    out.error = ok ? "" : sluice_status_name(ended.status);
    batches_.erase(it);
    return true;
}

void lmcache_connector::close() {
    if (!closed_.exchange(true)) {
        fd_ = -1;  // the store closes it
        sluice_store_close(store_);
        const std::scoped_lock lock(mutex_);
        batches_.clear();
    }
}

}  // namespace sluice_adapters
