// SPDX-License-Identifier: Apache-2.0
#include <sluice/demand/process_pool.hpp>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <fstream>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <sluice/base/status.hpp>
#include <sluice/coro/thread_loop.hpp>
#include <sluice/demand/prewarmer.hpp>

#include "support/temp_dir.hpp"

namespace {

using namespace std::chrono_literals;
using sluice::demand::need_forecast;
using sluice::demand::need_handle;
using sluice::demand::need_sample;
using sluice::demand::prewarmer;
using sluice::demand::process_pool;
using sluice::demand::process_pool_options;
using sluice::demand::warm_key;
using sluice::demand::warm_state;
using sluice::demand::worker_kind;
using sluice::demand::worker_process;
using code = absl::StatusCode;

worker_kind shell(std::string script) {
    worker_kind kind;
    kind.command = {"/bin/sh", "-c", std::move(script)};
    return kind;
}

// A pool on a loop of real time; everything happens there, and tests wait for events.
class rig {
 public:
    explicit rig(const process_pool_options& options = {}) {
        REQUIRE(loop_.start().ok());
        on_loop([&] {
            pool_ = std::make_unique<process_pool>(loop_, options);
            warmer_ = std::make_unique<prewarmer>(loop_);
        });
    }
    ~rig() {
        on_loop([&] {
            warmer_.reset();
            pool_.reset();
        });
    }

    void on_loop(std::function<void()> what) {
        struct call : sluice::work {
            explicit call(std::function<void()> f) noexcept
                : work([](work& w) noexcept {
                      auto& self = static_cast<call&>(w);
                      self.what();
                      self.done.set_value();
                  }),
                  what(std::move(f)) {}
            std::function<void()> what;
            std::promise<void> done;
        } posted(std::move(what));
        loop_.post(posted);
        posted.done.get_future().wait();
    }

    std::uint32_t add(const worker_kind& kind) {
        std::uint32_t number = 0;
        on_loop([&] { number = pool_->add(kind).value(); });
        return number;
    }

    absl::StatusOr<worker_process> take(warm_key key) {
        std::promise<absl::StatusOr<worker_process>> result;
        on_loop([&] { pool_->take(key, [&](auto w) { result.set_value(std::move(w)); }); });
        return result.get_future().get();
    }

    // Looks again after each turn of the loop until it is so.
    void until(const std::function<bool()>& so) {
        bool is = false;
        while (!is) {
            on_loop([&] { is = so(); });
        }
    }

    process_pool& pool() { return *pool_; }
    prewarmer& warmer() { return *warmer_; }

 private:
    sluice::thread_loop loop_{"test"};
    std::unique_ptr<process_pool> pool_;
    std::unique_ptr<prewarmer> warmer_;
};

bool exists(pid_t pid) { return kill(pid, 0) == 0 || errno != ESRCH; }

std::string read_line(const worker_process& w) {
    std::string line;
    for (char c = 0; c != '\n';) {
        pollfd p{w.output(), POLLIN, 0};
        if (poll(&p, 1, 10000) <= 0 || read(w.output(), &c, 1) != 1) {
            break;
        }
        line.push_back(c);
    }
    return line;
}

}  // namespace

TEST_CASE("a worker is started, greeted, handed over, and gone with its object") {
    rig r;
    worker_kind echo;
    echo.command = {"cat"};
    echo.greeting = "are you there\nand more\n";
    echo.ready_line = "are you there";
    const warm_key key = process_pool::key(r.add(echo), 5);
    pid_t pid = 0;
    {
        absl::StatusOr<worker_process> worker = r.take(key);
        REQUIRE(worker.ok());
        pid = worker->id();
        CHECK(exists(pid));
        CHECK(read_line(*worker) == "and more\n");  // nothing is lost behind the ready line
        CHECK(write(worker->input(), "x\n", 2) == 2);
        CHECK(read_line(*worker) == "x\n");
        CHECK(r.pool().processes() == 0);
    }
    CHECK(!exists(pid));  // no zombie either
}

TEST_CASE("a need that comes as forecast finds its worker ready") {
    rig r;
    worker_kind kind = shell("echo ready; cat");
    kind.seconds = 3600;  // so that it is started at once, not later
    kind.hold = 0;
    const warm_key key = process_pool::key(r.add(kind), 1);
    const need_sample soon{3600, true};
    need_handle need;
    r.on_loop([&] {
        need = r.warmer().expect(r.pool(), key, need_forecast::of({&soon, 1})).value();
    });
    r.until([&] { return r.warmer().state(need) == warm_state::warm; });
    CHECK(r.pool().ready() == 1);
    CHECK(r.pool().seconds(0) < 3600);  // learned
    warm_state found = warm_state::cold;
    r.on_loop([&] { found = r.warmer().arrived(need); });
    CHECK(found == warm_state::warm);
    CHECK(r.take(key).ok());
    CHECK(r.warmer().stats().found_warm == 1);
}

TEST_CASE("what is not needed after all is ended and collected") {
    process_pool_options options;
    options.grace = 10ms;
    rig r(options);
    const auto [script, name] = GENERATE(table<std::string, std::string>(
        {{"echo ready; cat", "ends when asked"},
         {"trap '' TERM; echo ready; while :; do read x; done", "does not want to end"},
         {"tail -f /dev/null & echo ready; cat", "has a child"}}));
    CAPTURE(name);
    const warm_key key = process_pool::key(r.add(shell(script)), 1);
    const need_sample now{0.5, true};
    need_handle need;
    r.on_loop([&] {
        need = r.warmer().expect(r.pool(), key, need_forecast::of({&now, 1})).value();
    });
    r.until([&] { return r.pool().ready() == 1; });
    r.on_loop([&] { r.warmer().withdraw(need); });
    r.until([&] { return r.pool().processes() == 0; });
}

TEST_CASE("what a worker does wrong is a status") {
    process_pool_options options;
    options.grace = 10ms;
    rig r(options);
    const auto failed = [&](worker_kind kind) {
        const absl::StatusOr<worker_process> w = r.take(process_pool::key(r.add(kind), 1));
        r.until([&] { return r.pool().processes() == 0; });
        return w.status();
    };
    CHECK(failed(shell("exit 3")).code() == code::kUnavailable);
    CHECK(failed(shell("echo what; cat")).code() == code::kUnavailable);
    CHECK(failed(shell("yes | tr -d '\\n'")).code() == code::kUnavailable);
    CHECK(failed(shell("exec >&-; cat")).code() == code::kUnavailable);
    worker_kind silent = shell("cat");
    silent.start_limit = 20ms;
    const absl::Status late = failed(silent);
    CHECK(late.code() == code::kDeadlineExceeded);
    CHECK(sluice::message_of(late) == "worker '/bin/sh' was not ready within 0.02 s");
    worker_kind none;
    none.command = {"/nowhere/at/all"};
    CHECK(failed(none).code() == code::kNotFound);
    none.command = {"/"};
    CHECK(failed(none).code() == code::kPermissionDenied);
    worker_kind chatty = shell("cat");
    chatty.greeting.assign(5000, 'x');
    CHECK(failed(chatty).code() == code::kInvalidArgument);
    CHECK(r.take(process_pool::key(99, 1)).status().code() == code::kInvalidArgument);
    absl::Status empty;
    r.on_loop([&] { empty = r.pool().add({}).status(); });
    CHECK(empty.code() == code::kInvalidArgument);
}

TEST_CASE("a worker that dies while it waits is replaced") {
    rig r;
    // It lives until the test writes to its pipe.
    const sluice_test::temp_dir dir;
    const std::string pipe = dir.file("end");
    REQUIRE(mkfifo(pipe.c_str(), 0600) == 0);
    const warm_key key = process_pool::key(r.add(shell("echo ready; read line < " + pipe)), 1);
    need_handle need;
    const need_sample now{0.5, true};
    r.on_loop([&] {
        need = r.warmer().expect(r.pool(), key, need_forecast::of({&now, 1})).value();
    });
    r.until([&] { return r.warmer().state(need) == warm_state::warm; });
    std::ofstream(pipe) << "now" << std::endl;
    r.until([&] { return r.pool().processes() == 0; });
    CHECK(r.take(key).ok());
}

TEST_CASE("at most so many processes run, and who waits is told when the pool goes") {
    std::vector<code> codes;
    {
        process_pool_options options;
        options.max_processes = 1;
        rig r(options);
        const std::uint32_t kind = r.add(shell("cat"));  // never ready
        r.on_loop([&] {
            const auto note = [&codes](const auto& w) { codes.push_back(w.status().code()); };
            r.pool().take(process_pool::key(kind, 1), note);
            r.pool().take(process_pool::key(kind, 2), note);
            r.pool().take(process_pool::key(kind, 1), note);
        });
    }
    CHECK(codes == std::vector{code::kResourceExhausted, code::kAlreadyExists, code::kCancelled});
}
