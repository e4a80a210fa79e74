// SPDX-License-Identifier: Apache-2.0
#include "readable_event.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>

namespace sluice::detail {

readable_event::readable_event() noexcept : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

readable_event::~readable_event() {
    if (valid()) {
        ::close(fd_);
    }
}

void readable_event::set(bool readable) noexcept {
    if (readable == readable_) {
        return;
    }
    readable_ = readable;
    std::uint64_t value = 1;
    // Neither can fail: the counter is 0 before the write and 1 before the read.
    [[maybe_unused]] const auto n =
        readable ? ::write(fd_, &value, sizeof value) : ::read(fd_, &value, sizeof value);
}

}  // namespace sluice::detail
