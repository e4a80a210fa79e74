// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include "support/node_client.hpp"

using namespace sluice_test;

namespace {

int connect_to(const std::string& at) {
    const auto to = wire::resolve(*wire::address::parse("tcp://" + at));
    REQUIRE(to.ok());
    const wire::socket_address& a = to->front();
    const int s = ::socket(a.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(::connect(s, a.get(), a.size) == 0);
    return s;
}

// All that is answered until the node closes.
std::string ask(const std::string& at, std::string_view request) {
    const raw_peer peer(connect_to(at));
    peer.write(std::as_bytes(std::span(request)));
    const bytes all = peer.read_to_end();
    return {reinterpret_cast<const char*>(all.data()), all.size()};
}

sluice::memory_node_options with_metrics() {
    sluice::memory_node_options o = small_node();
    o.metrics = "127.0.0.1:0";
    return o;
}

bool has(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("memory_node: metrics are served by HTTP", "[memory_node][http]") {
    const auto node = start(with_metrics());
    node_client c(node->address());
    REQUIRE(c.shake_hands().ok());
    (void)c.lookup({key_of(1)});
    const std::string at = node->metrics_address();
    const std::string answer = ask(at, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    CHECK(answer.starts_with("HTTP/1.1 200 OK\r\n"));
    CHECK(has(answer, "Content-Type: text/plain; version=0.0.4"));
    CHECK(has(answer, "Connection: close\r\n"));
    for (const char* name :
         {"sluice_node_blocks", "sluice_node_bytes", "sluice_node_capacity_bytes",
          "sluice_node_lookups_total", "sluice_node_hits_total", "sluice_node_puts_total",
          "sluice_node_refused_total", "sluice_node_evicted_total", "sluice_node_damaged_total",
          "sluice_node_leased_bytes", "sluice_node_connections", "sluice_node_rejected_total",
          "sluice_node_malformed_total", "sluice_node_uptime_seconds"}) {
        CAPTURE(name);
        CHECK(has(answer, std::string("\n") + name + " "));
    }
    CHECK(has(answer, "\nsluice_node_lookups_total 1\n"));
    CHECK(has(answer, "\nsluice_node_connections 1\n"));
    CHECK(has(answer, "sluice_node_lanes_total{kind=\"connected\",provider=\"tcp\"} 0\n"));
    CHECK(has(node->metrics(), "\nsluice_node_lookups_total 1\n"));

    // In pieces, by lines without carriage returns, with a query, without a body.
    CHECK(has(ask(at, "GET /metrics?x=y HTTP/1.0\n\n"), "sluice_node_blocks 0\n"));
    const std::string head = ask(at, "HEAD /metrics HTTP/1.1\r\n\r\n");
    CHECK(head.starts_with("HTTP/1.1 200 OK\r\n"));
    CHECK(head.ends_with("\r\n\r\n"));
}

TEST_CASE("memory_node: health says whether it drains", "[memory_node][http]") {
    sluice::memory_node_options o = with_metrics();
    o.drain_timeout = std::chrono::hours(1);
    const auto node = start(o);
    node_client c(node->address());
    REQUIRE(c.shake_hands().ok());
    const std::string question = "GET /healthz HTTP/1.1\r\n\r\n";
    CHECK(ask(node->metrics_address(), question).ends_with("\r\n\r\nok\n"));
    node->drain(nullptr);
    REQUIRE(c.next()->type == wire::message_type::draining);
    const std::string answer = ask(node->metrics_address(), question);
    CHECK(answer.starts_with("HTTP/1.1 503 "));
    CHECK(answer.ends_with("draining\n"));
}

TEST_CASE("memory_node: bad HTTP requests are answered and do no harm", "[memory_node][http]") {
    const auto node = start(with_metrics());
    const std::string at = node->metrics_address();
    const auto code = [&](std::string_view request) { return ask(at, request).substr(0, 12); };
    CHECK(code("GET / HTTP/1.1\r\n\r\n") == "HTTP/1.1 404");
    CHECK(code("GET /metrics/../x HTTP/1.1\r\n\r\n") == "HTTP/1.1 404");
    CHECK(code("POST /metrics HTTP/1.1\r\nContent-Length: 1\r\n\r\nx") == "HTTP/1.1 405");
    CHECK(code("nonsense\r\n\r\n") == "HTTP/1.1 400");
    CHECK(code("GET /metrics\r\n\r\n") == "HTTP/1.1 400");
    CHECK(code("\r\n\r\n") == "HTTP/1.1 400");
    CHECK(code("GET /" + std::string(9000, 'x')) == "HTTP/1.1 431");

    // Who says nothing holds nobody up, and has a place only while there are some.
    std::vector<std::unique_ptr<raw_peer>> silent;
    for (int i = 0; i < 100; ++i) {
        silent.push_back(std::make_unique<raw_peer>(connect_to(at)));
    }
    node_client c(node->address());
    CHECK(c.shake_hands().ok());
    silent.clear();
    std::string answer;
    while (answer.empty()) {  // the node closes without a word until it has seen that they left
        answer = ask(at, "GET /healthz HTTP/1.1\r\n\r\n");
    }
    CHECK(answer.ends_with("ok\n"));
}
