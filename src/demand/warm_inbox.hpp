// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include <absl/status/status.h>

#include <sluice/coro/loop.hpp>

namespace sluice::demand::detail {

/// What warmables have to say, from any thread to the prewarmer's loop. Shared by the prewarmer and
/// all that may still call it back.
class warm_inbox final : public work {
 public:
    struct message {
        std::uint64_t attempt;
        absl::Status status;
    };
    /// On the loop.
    class reader {
     public:
        virtual void warmed(std::uint64_t attempt, const absl::Status& status) noexcept = 0;

     protected:
        ~reader() = default;
    };

    warm_inbox(loop& on, reader& to) noexcept : work(&warm_inbox::deliver), loop_(&on), to_(&to) {}

    /// Any thread.
    static void push(const std::shared_ptr<warm_inbox>& self, message m) {
        const std::lock_guard lock(self->mutex_);
        if (self->to_ == nullptr) {
            return;
        }
        self->messages_.push_back(std::move(m));
        if (self->posted_ == nullptr) {
            self->posted_ = self;  // posted work must not be destroyed
            self->loop_->post(*self);
        }
    }

    /// On the loop: from now on nothing is delivered, and the loop not touched.
    void close() {
        const std::lock_guard lock(mutex_);
        to_ = nullptr;
        messages_.clear();
    }

 private:
    static void deliver(work& w) noexcept {
        auto& inbox = static_cast<warm_inbox&>(w);
        std::vector<message> messages;
        std::shared_ptr<warm_inbox> alive;
        {
            const std::lock_guard lock(inbox.mutex_);
            messages.swap(inbox.messages_);
            alive = std::move(inbox.posted_);
            inbox.posted_ = nullptr;
        }
        // The reader may go away while it reads; only this thread makes it do so.
        for (const message& m : messages) {
            if (inbox.to_ == nullptr) {
                break;
            }
            inbox.to_->warmed(m.attempt, m.status);
        }
    }

    std::mutex mutex_;  // guards all but loop_; to_ is written on the loop only
    loop* loop_;
    reader* to_;
    std::vector<message> messages_;
    std::shared_ptr<warm_inbox> posted_;
};

}  // namespace sluice::demand::detail
