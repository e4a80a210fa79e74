// SPDX-License-Identifier: Apache-2.0
// sluice::fabric: a memory node in this process answers a store.
#include <atomic>
#include <cstdio>
#include <vector>

#include <sluice/coro/thread_loop.hpp>
#include <sluice/fabric/fabric_store.hpp>
#include <sluice/fabric/memory_node.hpp>

namespace {

/// Puts a block, and says that it has ended.
struct put_once : sluice::store_put {
    std::atomic<bool> ended{false};
};

}  // namespace

int main() {
    sluice::memory_node_options lend;
    lend.memory = 8 * sluice::mib;
    lend.secret = "sixteen bytes or more";
    const auto node = sluice::memory_node::create(lend);
    if (!node.ok()) {
        std::fprintf(stderr, "%s\n", node.status().ToString().c_str());
        return 1;
    }
    sluice::fabric_store_options ask;
    ask.nodes = {(*node)->address()};
    ask.secret = lend.secret;
    const auto store = sluice::fabric_store::create(ask);
    if (!store.ok()) {
        std::fprintf(stderr, "%s\n", store.status().ToString().c_str());
        return 1;
    }

    std::vector<std::byte> block(4096);
    if (!(*store)->register_memory(block).ok()) {
        return 1;
    }
    sluice::thread_loop home;
    if (!home.start().ok()) {
        return 1;
    }
    put_once op;
    op.key = sluice::block_key::from_u64(1);
    op.from = block;
    op.on_completion(home, [](sluice::operation& o) noexcept {
        auto& put = static_cast<put_once&>(static_cast<sluice::store_put&>(o));
        put.ended.store(true);
        put.ended.notify_one();
    });
    sluice::store_put* const ops[] = {&op};
    (*store)->put(ops);
    op.ended.wait(false);
    home.stop();
    home.join();
    (*store)->unregister_memory(block);
    std::printf("put to %s: %s; the node has %llu blocks\n", (*node)->address().c_str(),
                op.status().ToString().c_str(),
                static_cast<unsigned long long>((*node)->stats().blocks));
    return op.status().ok() ? 0 : 1;
}
