// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace sluice::detail {

/// A descriptor that is readable while somebody says so: an eventfd. One thread at a time.
class readable_event {
 public:
    readable_event() noexcept;
    ~readable_event();
    readable_event(const readable_event&) = delete;
    readable_event& operator=(const readable_event&) = delete;

    /// False: there was no descriptor to be had.
    [[nodiscard]] bool valid() const noexcept { return fd_ >= 0; }
    [[nodiscard]] int fd() const noexcept { return fd_; }

    void set(bool readable) noexcept;

 private:
    int fd_;
    bool readable_ = false;
};

}  // namespace sluice::detail
