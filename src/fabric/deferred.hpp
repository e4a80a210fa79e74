// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include <sluice/coro/loop.hpp>

namespace sluice::fabric {

/// A call that its owner asks for at the loop's next turn, and that is forgotten if the owner is
/// gone by then. Used on its loop, or when that does not run.
class deferred {
 public:
    using callback = void (*)(void* self) noexcept;

    deferred(loop& on, callback call, void* self) : loop_(on), shell_(new shell(call, self)) {}
    deferred(const deferred&) = delete;
    deferred& operator=(const deferred&) = delete;
    ~deferred() {
        if (shell_->posted) {
            shell_.release()->self = nullptr;  // the loop has it, and frees it
        }
    }

    /// Asked for more than once before its turn, it is called once.
    void post() noexcept {
        if (!shell_->posted) {
            shell_->posted = true;
            loop_.post(*shell_);
        }
    }

 private:
    struct shell : work {
        shell(callback c, void* s) noexcept : work(&shell::run_shell), call(c), self(s) {}
        static void run_shell(work& w) noexcept {
            auto& me = static_cast<shell&>(w);
            if (me.self == nullptr) {
                delete &me;
                return;
            }
            me.posted = false;
            me.call(me.self);
        }
        callback call;
        void* self;
        bool posted = false;
    };

    loop& loop_;
    std::unique_ptr<shell> shell_;
};

}  // namespace sluice::fabric
