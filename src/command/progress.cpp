// SPDX-License-Identifier: Apache-2.0
#include "progress.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace sluice::command {
namespace {

bool on_terminal() {
    const char* kind = std::getenv("TERM");
    return isatty(STDERR_FILENO) == 1 && kind != nullptr && std::string_view(kind) != "dumb";
}

unsigned columns() {
    winsize size{};
    const bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    return known ? size.ws_col : 80u;
}

}  // namespace

std::string progress_text(const std::string& label, std::uint64_t done, std::uint64_t total,
                          double seconds, unsigned width) {
    const std::string tail = total > 0 ? fmt::format(" {}/{}  {:.0f} s", done, total, seconds)
                                       : fmt::format(" {}  {:.0f} s", done, seconds);
    std::string out = fmt::format("{:<24} ", label);
    constexpr std::size_t least_bar = 10;
    if (total > 0 && width > out.size() + tail.size() + least_bar + 2) {
        const std::size_t room = std::min<std::size_t>(40, width - out.size() - tail.size() - 3);
        const double share = std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
        const auto full = static_cast<std::size_t>(share * static_cast<double>(room));
        out += '[' + std::string(full, '#') + std::string(room - full, '.') + ']';
    }
    out += tail;
    if (out.size() >= width) {
        out.resize(width > 0 ? width - 1 : 0);  // a full line would wrap and could not be redrawn
    }
    return out;
}

progress_bar::progress_bar(bool wanted)
    : enabled_(wanted && on_terminal()), started_(std::chrono::steady_clock::now()) {}

progress_bar::~progress_bar() { clear(); }

void progress_bar::begin(std::string label, std::uint64_t total) {
    const std::lock_guard lock(mutex_);
    label_ = std::move(label);
    total_ = total;
    done_ = 0;
    started_ = std::chrono::steady_clock::now();
    draw();
}

void progress_bar::advance(std::uint64_t steps) {
    const std::lock_guard lock(mutex_);
    done_ += steps;
    constexpr std::chrono::milliseconds least_pause{100};
    if (std::chrono::steady_clock::now() - drawn_ >= least_pause) {
        draw();
    }
}

void progress_bar::clear() {
    const std::lock_guard lock(mutex_);
    if (visible_) {
        std::fputs("\r\x1b[K", stderr);
        std::fflush(stderr);
        visible_ = false;
    }
}

void progress_bar::draw() {
    if (!enabled_) {
        return;
    }
    drawn_ = std::chrono::steady_clock::now();
    const double seconds = std::chrono::duration<double>(drawn_ - started_).count();
    const std::string text = progress_text(label_, done_, total_, seconds, columns());
    std::fprintf(stderr, "\r%s\x1b[K", text.c_str());
    std::fflush(stderr);
    visible_ = true;
}

}  // namespace sluice::command
