// SPDX-License-Identifier: Apache-2.0
// A scheduler process and two worker processes, each with threads and a store of its own.
//
//   capi_split_process_test                 the scheduler, which starts the workers
//   capi_split_process_test RANK            a worker; talks by descriptor 3
#include <sluice/sluice.h>

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

namespace {

using message = std::vector<unsigned char>;

constexpr std::uint32_t block_tokens = 16;
constexpr std::uint32_t block_bytes = 4096;
constexpr std::uint32_t slots = 64;
constexpr std::uint32_t blocks = 6;  // of a prompt
constexpr std::uint32_t pages = blocks + 1;
constexpr std::uint32_t prompts = 12;
constexpr std::uint32_t rounds = 3;
constexpr int worker_fd = 3;

void check(bool holds, const char* what, int line) {
    if (!holds) {
        std::fprintf(stderr, "line %d: %s; last error: %s\n", line, what, sluice_last_error());
        std::exit(1);
    }
}
#define CHECK(...) check((__VA_ARGS__), #__VA_ARGS__, __LINE__)

// Worker 1 misses the last blocks of every prompt.
std::uint32_t stored_at(std::uint32_t rank) { return rank == 0 ? blocks : blocks - 2; }

std::byte content(std::uint64_t key, std::uint32_t rank, std::size_t at) {
    return static_cast<std::byte>((key * 31 + rank * 101 + at) & 0xff);
}

bool write_all(int fd, const void* bytes, std::size_t n) {
    const auto* at = static_cast<const unsigned char*>(bytes);
    while (n > 0) {
        const ssize_t done = ::send(fd, at, n, MSG_NOSIGNAL);
        if (done <= 0) {
            return false;
        }
        at += done;
        n -= static_cast<std::size_t>(done);
    }
    return true;
}

void send_message(int fd, const message& m) {
    const auto size = static_cast<std::uint32_t>(m.size());
    CHECK(write_all(fd, &size, sizeof size) && write_all(fd, m.data(), m.size()));
}

/// \return false: the other end has closed.
bool receive(int fd, message& m) {
    std::uint32_t size = 0;
    if (::recv(fd, &size, sizeof size, MSG_WAITALL) != sizeof size) {
        return false;
    }
    m.resize(size);
    return size == 0 || ::recv(fd, m.data(), size, MSG_WAITALL) == static_cast<ssize_t>(size);
}

/// The bytes that `fill(buffer, capacity, &needed)` has, in a buffer that grows as it says.
template <class Fill>
message take(Fill fill) {
    message m(16);
    std::uint64_t needed = 0;
    while (fill(m.data(), m.size(), &needed) == SLUICE_E_TRUNCATED) {
        m.resize(needed);
    }
    m.resize(needed);
    return m;
}

// ---- a worker

struct worker {
    explicit worker(std::uint32_t r) : rank(r), memory(std::size_t{slots} * block_bytes) {
        CHECK(sluice_device_open_host(nullptr, &device) == SLUICE_OK);
        CHECK(sluice_store_open_memory(nullptr, &store) == SLUICE_OK);
        for (std::uint64_t prompt = 0; prompt < prompts; ++prompt) {
            put(prompt);
        }
        sluice_region region{};
        region.base = reinterpret_cast<std::uintptr_t>(memory.data());
        region.stride = region.bytes = block_bytes;
        region.slots = slots;
        region.layer = -1;
        sluice_group group{};
        group.regions = &region;
        group.n_regions = 1;
        sluice_pipeline_options o = SLUICE_PIPELINE_OPTIONS_INIT;
        o.flags = SLUICE_PIPELINE_ENGINE_OWNS_L1;
        o.policy = "external";
        o.groups = &group;
        o.n_groups = 1;
        o.block_tokens = block_tokens;
        o.device = device;
        o.store = store;
        o.l2_bytes = 256 * block_bytes;
        o.write_back_share = 1;  // no block finds no memory and is left out
        CHECK(sluice_pipeline_open(&o, &pipe) == SLUICE_OK);
    }

    /// Each rank's blocks have the rank behind their key.
    void put(std::uint64_t prompt) const {
        for (std::uint64_t i = 0; i < stored_at(rank); ++i) {
            const std::uint64_t key = prompt * 100 + i;
            std::array<unsigned char, 9> name{};
            std::memcpy(name.data(), &key, 8);
            name[8] = static_cast<unsigned char>(rank);
            std::vector<std::byte> bytes(block_bytes);
            for (std::size_t at = 0; at < bytes.size(); ++at) {
                bytes[at] = content(key, rank, at);
            }
            void* from = bytes.data();
            const std::uint64_t size = bytes.size();
            sluice_batch b = SLUICE_BATCH_INIT;
            b.kind = SLUICE_BATCH_PUT;
            b.keys = name.data();
            b.key_size = static_cast<std::uint32_t>(name.size());
            b.n = 1;
            b.memory = &from;
            b.bytes = &size;
            std::uint64_t ticket = 0;
            sluice_batch_result result{};
            CHECK(sluice_store_submit(store, &b, &ticket) == SLUICE_OK);
            CHECK(sluice_store_wait(store, ticket, UINT64_MAX, &result) == SLUICE_OK);
            CHECK(result.status == SLUICE_OK);
        }
    }

    /// The model: checks what was loaded, and computes the rest.
    void compute(std::uint64_t prompt, std::uint32_t first_page, std::uint32_t loaded) {
        for (std::uint64_t i = 0; i < blocks; ++i) {
            const std::uint64_t key = prompt * 100 + i;
            std::byte* const page =
                memory.data() + (first_page + i) * static_cast<std::size_t>(block_bytes);
            for (std::size_t at = 0; at < block_bytes; ++at) {
                if (i < loaded) {
                    CHECK(page[at] == content(key, rank, at));
                } else {
                    page[at] = content(key, rank, at);
                }
            }
        }
    }

    // Messages of the scheduler: 'p' and a plan, or 'c' and what to compute.
    int serve() {
        int events = -1;
        CHECK(sluice_event_fd(pipe, &events) == SLUICE_OK);
        const auto suffix = static_cast<unsigned char>(rank);
        message m;
        for (;;) {
            std::array<pollfd, 2> ready{pollfd{worker_fd, POLLIN, 0}, pollfd{events, POLLIN, 0}};
            CHECK(::poll(ready.data(), ready.size(), -1) > 0);
            if (ready[0].revents != 0) {
                if (!receive(worker_fd, m)) {
                    break;
                }
                if (m[0] == 'p') {
                    CHECK(sluice_plan_import(pipe, m.data() + 1, m.size() - 1, &suffix, 1) ==
                          SLUICE_OK);
                } else {
                    std::array<std::uint32_t, 3> what{};
                    std::memcpy(what.data(), m.data() + 1, sizeof what);
                    compute(what[0], what[1], what[2]);
                    send_message(worker_fd, {});  // done
                }
            }
            const message report = take([&](void* to, std::uint64_t n, std::uint64_t* needed) {
                return sluice_worker_report_export(pipe, rank, to, n, needed);
            });
            if (!report.empty()) {
                send_message(worker_fd, report);
            }
        }
        CHECK(sluice_pipeline_close(pipe) == SLUICE_OK);
        CHECK(sluice_store_close(store) == SLUICE_OK);
        CHECK(sluice_device_close(device) == SLUICE_OK);
        return 0;
    }

    std::uint32_t rank;
    std::vector<std::byte> memory;
    sluice_device* device = nullptr;
    sluice_store* store = nullptr;
    sluice_pipeline* pipe = nullptr;
};

// ---- the scheduler

struct scheduler {
    scheduler() {
        sluice_planner_options o = SLUICE_PLANNER_OPTIONS_INIT;
        o.workers = 2;
        o.n_groups = 1;
        o.pages = slots;
        o.block_tokens = block_tokens;
        o.block_bytes = block_bytes;
        CHECK(sluice_planner_open(&o, &planner) == SLUICE_OK);
        for (std::uint32_t rank = 0; rank < 2; ++rank) {
            start(rank);
        }
    }

    void start(std::uint32_t rank) {
        int ends[2];
        CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
        posix_spawn_file_actions_t actions;
        CHECK(::posix_spawn_file_actions_init(&actions) == 0);
        // Also where the end has this number already, this makes it stay open.
        const int moved = ::fcntl(ends[1], F_DUPFD_CLOEXEC, 10);
        CHECK(moved >= 0 && ::posix_spawn_file_actions_adddup2(&actions, moved, worker_fd) == 0);
        std::string self = "capi_split_process_test";
        std::string number = std::to_string(rank);
        char* argv[] = {self.data(), number.data(), nullptr};
        CHECK(::posix_spawn(&pids[rank], "/proc/self/exe", &actions, nullptr, argv, environ) == 0);
        ::posix_spawn_file_actions_destroy(&actions);
        ::close(ends[1]);
        ::close(moved);
        fds[rank] = ends[0];
    }

    struct running {
        std::uint32_t prompt = 0;
        std::uint32_t page = 0;
        std::uint32_t loaded = 0;
        std::uint32_t computing = 0;  // ranks
    };

    void submit(std::uint32_t prompt) {
        std::array<std::uint64_t, blocks> keys{};
        for (std::uint32_t i = 0; i < blocks; ++i) {
            keys[i] = prompt * 100 + i;
        }
        sluice_request r = SLUICE_REQUEST_INIT;
        r.keys = keys.data();
        r.key_size = 8;
        r.n_keys = blocks;
        r.prompt_tokens = blocks * block_tokens + 3;
        r.user = prompt;
        sluice_request_id id = 0;
        CHECK(sluice_submit(planner, &r, &id) == SLUICE_OK);
        live[id].prompt = prompt;
    }

    void bind(sluice_request_id id, running& r) {
        CHECK(!free_pages.empty());
        r.page = free_pages.back();
        free_pages.pop_back();
        std::array<std::uint32_t, pages> numbers{};
        for (std::uint32_t i = 0; i < pages; ++i) {
            numbers[i] = r.page + i;
        }
        CHECK(sluice_bind(planner, id, numbers.data(), pages) == SLUICE_OK);
    }

    void on_events(std::uint32_t round) {
        std::array<sluice_event, 16> events{};
        std::uint32_t n = 0;
        CHECK(sluice_poll(planner, events.data(), events.size(), &n) == SLUICE_OK);
        for (std::uint32_t i = 0; i < n; ++i) {
            const sluice_event& e = events[i];
            running& r = live.at(e.request);
            if (e.kind == SLUICE_EVENT_WANT_PAGES) {
                bind(e.request, r);
            } else if (e.kind == SLUICE_EVENT_READY) {
                // The smallest over the ranks; from the second round on both have all.
                CHECK(e.blocks == (round == 0 ? blocks - 2 : blocks));
                r.loaded = e.blocks;
                r.computing = 2;
                const std::array<std::uint32_t, 3> what{r.prompt, r.page, r.loaded};
                message m(1 + sizeof what);
                m[0] = 'c';
                std::memcpy(m.data() + 1, what.data(), sizeof what);
                computing.push_back(e.request);
                send_message(fds[0], m);
                send_message(fds[1], m);
            } else {
                CHECK(e.kind == SLUICE_EVENT_STORED);
                // Only the second rank lacked something.
                CHECK(e.blocks == 0);
                free_pages.push_back(r.page);
                CHECK(sluice_release(planner, e.request) == SLUICE_OK);
                live.erase(e.request);
            }
        }
    }

    void on_message(std::uint32_t rank) {
        message m;
        CHECK(receive(fds[rank], m));
        if (!m.empty()) {
            const void* report = m.data();
            const std::uint64_t size = m.size();
            const message merged = take([&](void* to, std::uint64_t n, std::uint64_t* needed) {
                return sluice_report_merge(&report, &size, 1, to, n, needed);
            });
            CHECK(sluice_report_import(planner, merged.data(), merged.size()) == SLUICE_OK);
            return;
        }
        // Both compute in the order in which they were told.
        const sluice_request_id id = computing[done[rank]++];
        if (--live.at(id).computing == 0) {
            CHECK(sluice_compute_done(planner, id, 1000) == SLUICE_OK);
        }
    }

    void serve() {
        int events = -1;
        CHECK(sluice_event_fd(planner, &events) == SLUICE_OK);
        for (std::uint32_t p = 0; p + pages <= slots; p += pages) {
            free_pages.push_back(p);
        }
        for (std::uint32_t round = 0; round < rounds; ++round) {
            std::uint32_t next = 0;
            while (next < prompts || !live.empty()) {
                while (next < prompts && live.size() < free_pages.size()) {
                    submit(next++);
                }
                message plan = take([&](void* to, std::uint64_t n, std::uint64_t* needed) {
                    return sluice_plan_export(planner, to, n, needed);
                });
                if (!plan.empty()) {
                    plan.insert(plan.begin(), 'p');
                    send_message(fds[0], plan);
                    send_message(fds[1], plan);
                }
                std::array<pollfd, 3> ready{pollfd{fds[0], POLLIN, 0}, pollfd{fds[1], POLLIN, 0},
                                            pollfd{events, POLLIN, 0}};
                CHECK(::poll(ready.data(), ready.size(), -1) > 0);
                for (std::uint32_t rank = 0; rank < 2; ++rank) {
                    if (ready[rank].revents != 0) {
                        on_message(rank);
                    }
                }
                if (ready[2].revents != 0) {
                    on_events(round);
                }
            }
        }
        sluice_stats s = SLUICE_STATS_INIT;
        CHECK(sluice_pipeline_stats(planner, &s) == SLUICE_OK);
        CHECK(s.submitted == prompts * rounds && s.live_requests == 0);
        CHECK(sluice_pipeline_close(planner) == SLUICE_OK);
        for (std::uint32_t rank = 0; rank < 2; ++rank) {
            ::close(fds[rank]);
            int status = 0;
            CHECK(::waitpid(pids[rank], &status, 0) == pids[rank] && status == 0);
        }
    }

    sluice_pipeline* planner = nullptr;
    std::array<int, 2> fds{};
    std::array<pid_t, 2> pids{};
    std::map<sluice_request_id, running> live;
    std::vector<std::uint32_t> free_pages;
    std::vector<sluice_request_id> computing;
    std::array<std::size_t, 2> done{};
};

}  // namespace

int main(int argc, char** argv) {
    if (argc == 2) {
        return worker(static_cast<std::uint32_t>(std::strtoul(argv[1], nullptr, 10))).serve();
    }
    scheduler().serve();
    std::puts("a scheduler and two workers served all prompts");
    return 0;
}
