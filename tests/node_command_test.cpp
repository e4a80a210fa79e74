// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cerrno>
#include <csignal>
#include <string>
#include <vector>

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "command/validators.hpp"
#include "support/node_client.hpp"
#include "support/temp_dir.hpp"

using namespace sluice_test;
using Catch::Matchers::ContainsSubstring;

namespace {

// `sluice node` as a process; standard output and errors are read from one pipe.
class process {
 public:
    explicit process(std::vector<std::string> flags) {
        std::array<int, 2> ends{};
        REQUIRE(::pipe(ends.data()) == 0);
        out_ = ends[0];
        posix_spawn_file_actions_t actions;
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
        posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
        posix_spawn_file_actions_addclose(&actions, ends[0]);
        flags.insert(flags.begin(), {SLUICE_COMMAND, "node"});
        std::vector<char*> argv;
        for (std::string& flag : flags) {
            argv.push_back(flag.data());
        }
        argv.push_back(nullptr);
        const int error =
            ::posix_spawn(&pid_, SLUICE_COMMAND, &actions, nullptr, argv.data(), environ);
        posix_spawn_file_actions_destroy(&actions);
        ::close(ends[1]);
        REQUIRE(error == 0);
    }
    process(const process&) = delete;
    process& operator=(const process&) = delete;
    ~process() {
        if (pid_ > 0) {
            ::kill(pid_, SIGKILL);
            (void)wait();
        }
        ::close(out_);
    }

    // Empty at the end.
    std::string line() {
        std::string text;
        char c = 0;
        while (::read(out_, &c, 1) == 1 && c != '\n') {
            text += c;
        }
        return text;
    }
    std::string rest() {
        std::string text;
        for (std::string next = line(); !next.empty(); next = line()) {
            text += next + '\n';
        }
        return text;
    }
    void signal(int number) const { ::kill(pid_, number); }
    // The exit code; -1 if it was killed.
    int wait() {
        int status = 0;
        while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
        }
        pid_ = 0;
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }

 private:
    pid_t pid_ = 0;
    int out_ = -1;
};

std::string behind(const std::string& line, const std::string& start) {
    CAPTURE(line);
    REQUIRE(line.starts_with(start));
    return line.substr(start.size());
}

// What a validator makes of a text; what it says in brackets if it refuses it.
std::string checked(const CLI::Validator& v, std::string text) {
    const std::string error = v(text);
    return error.empty() ? text : "refused";
}

}  // namespace

TEST_CASE("sluice node: serves until it is told to end", "[command][node]") {
    const temp_dir dir;
    const std::string secret = dir.write("secret", std::string(node_secret) + "\n");
    process node({"--memory", "16MiB", "--secret-file", secret, "--metrics", "127.0.0.1:0",
                  "--drain-timeout", "3600"});
    const std::string at = behind(node.line(), "sluice node: serving ");
    CHECK(behind(node.line(), "sluice node: metrics at http://127.0.0.1:").ends_with("/metrics"));
    node_client c(at);
    REQUIRE(c.shake_hands().ok());
    {
        data_client data(c, "tcp");
        CHECK(put(c, data, 1, pattern(100, 1)) == wire::commit_verdict::stored);
        node.signal(SIGTERM);
        REQUIRE(c.next()->type == wire::message_type::draining);
        CHECK((data.read(c.lookup({key_of(1)})[0]) == pattern(100, 1)));
    }
    c.leave();
    const std::string rest = node.rest();
    CHECK_THAT(rest, ContainsSubstring("ended with 1 blocks, 100 bytes; 0 clients were left"));
    CHECK(node.wait() == 0);
}

TEST_CASE("sluice node: a second signal does not wait for clients", "[command][node]") {
    const temp_dir dir;
    const std::string secret = dir.write("secret", std::string(node_secret));
    process node(
        {"--memory", "16MiB", "--secret-file", secret, "--drain-timeout", "3600", "--no-touch"});
    node_client c(behind(node.line(), "sluice node: serving "));
    REQUIRE(c.shake_hands().ok());
    node.signal(SIGINT);
    REQUIRE(c.next()->type == wire::message_type::draining);
    node.signal(SIGINT);
    CHECK_THAT(node.rest(), ContainsSubstring("1 clients were left"));
    CHECK(node.wait() == 0);
}

TEST_CASE("sluice node: what is wrong is said, without the secret", "[command][node]") {
    const temp_dir dir;
    const std::string secret = dir.write("secret", std::string(node_secret));
    const std::string shorter = dir.write("short", "hush");
    struct wrong {
        std::vector<std::string> flags;
        std::string says;
        int code;
    };
    const std::vector<wrong> cases{
        {{}, "--secret-file", 2},
        {{"--secret-file", dir.file("absent")}, "absent", 2},
        {{"--secret-file", shorter}, "16", 2},
        {{"--secret-file", secret, "--memory", "4XB"}, "is no size", 2},
        {{"--secret-file", secret, "--lease", "0"}, "--lease", 2},
        {{"--secret-file", secret, "--listen", "nowhere"}, "nowhere", 2},
        {{"--secret-file", secret, "--memory", "1MiB", "--provider", "absent"}, "'absent'", 1},
        {{"--secret-file", secret, "--memory", "200TiB"}, "available", 1},
    };
    for (const wrong& w : cases) {
        process node(w.flags);
        const std::string said = node.rest();
        CHECK_THAT(said, ContainsSubstring(w.says));
        CHECK(said.find(node_secret) == std::string::npos);
        CHECK(said.find("hush") == std::string::npos);
        CHECK(node.wait() == w.code);
    }
}

TEST_CASE("sluice node: sizes have units", "[command][node]") {
    const CLI::Validator size = sluice::command::byte_size(1000, std::uint64_t{1} << 48);
    CHECK(checked(size, "4096") == "4096");
    CHECK(checked(size, "4096B") == "4096");
    CHECK(checked(size, "1KB") == "1000");
    CHECK(checked(size, "1KiB") == "1024");
    CHECK(checked(size, "1.5GB") == "1500000000");
    CHECK(checked(size, "4 GiB") == "4294967296");
    CHECK(checked(size, "2tib") == "2199023255552");
    for (const char* bad : {"", "GiB", "4G", "4GiBs", "x4GiB", "-4GiB", "nan", "inf", "1e300KiB",
                            "999", "300TiB", "4 5"}) {
        CAPTURE(bad);
        CHECK(checked(size, bad) == "refused");
    }
}
