// SPDX-License-Identifier: Apache-2.0

// options_corpus_test [--write-seeds DIR]
//
// Runs every file of the corpus through the fuzz target: what was found once is not found again.
// With --write-seeds it writes what fuzzing starts from: programs that open everything, load, drive
// and store, by the library's own store and device and by those of callbacks.

#include <fstream>
#include <initializer_list>
#include <string>
#include <vector>

#include "fuzz/corpus_main.hpp"

namespace {

/// A program of the fuzz target, byte by byte as it makes its choices.
class script {
 public:
    script& add(std::initializer_list<int> bytes) {
        for (const int b : bytes) {
            bytes_.push_back(static_cast<char>(b));
        }
        return *this;
    }
    script& loop() { return add({0, 0, 0}); }
    script& host_device() { return add({1, 1, 0, 0, 0, 0}); }
    script& device_of_callbacks() { return add({1, 0, 0, 0, 0}); }
    script& memory_store() { return add({2, 0, 0, 0, 0, mebibyte, 0, 0, 0}); }
    script& store_of_callbacks() { return add({2, 2, 0, 0, 0}); }
    script& fabric_store() { return add({2, 3, 0, 1, 9, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0}); }
    /// One group of one region: 64 bytes, 16 slots. \param driven  the device is of callbacks
    script& pipeline(int flags, bool driven, int more = 0) {
        add({3, flags, 0, 0, 0, 0, 63, 0, 15, 0});
        if (driven) {
            add({0});
        }
        return add({0, 0, 0, 0, 0, 0, 0, 0, 0, more});
    }
    script& done() { return add({0}); }  // the struct is whole
    script& submit(int key) {
        return add({4, 0, 0, number(8), 2, key, key + 1, 0, 0, 0, 1, 0, 0, 0});
    }
    script& run(int ns = 0) { return add({6, number(ns), 0, 0, 1}); }
    script& poll() { return add({10, 0, 0, 0, 40}); }
    script& bind() { return add({8, 0, 0, 0, 3, 1, 2, 3}); }
    script& use(int what) { return add({8, 0, 0, what}); }
    script& compute_done() { return add({8, 0, 0, 6, number(5)}); }
    script& look(int what) {
        add({10, 0, 0, what});
        return what == 1 || what == 7 ? *this : add({0});
    }
    script& put(int key) {
        return add({11, 1, 0, number(8), 1, key, 0, 0, 0, 0, 63, 0, 0, 1, 0, 0, 0, 0});
    }
    script& planner() {
        add({16});
        for (int i = 0; i < 7; ++i) {
            add({0});
        }
        return add({0, 0, 0, 0});
    }
    /// \param of  which pipeline: the first is 0
    script& export_plan(int of) { return add({17, of, 0, 0}); }
    script& export_report(int of) { return add({17, of, 0, 1, 0}); }
    script& import_plan(int into, int which) { return add({18, into, which, 0, 0, 0, 0}); }
    script& import_report(int into, int which) { return add({18, into, which, 0, 0, 1}); }
    script& merge(int which) { return add({19, 1, which, 0, 0, 0, 0}); }
    script& take_batches() { return add({12, 0, 0, 0, 8}); }

    [[nodiscard]] bool write(const std::string& dir, const std::string& name) const {
        std::ofstream out(dir + '/' + name, std::ios::binary);
        out.write(bytes_.data(), static_cast<std::streamsize>(bytes_.size()));
        return static_cast<bool>(out.flush());
    }

 private:
    static constexpr int mebibyte = 17;
    static int number(int n) { return n + 36; }

    std::vector<char> bytes_;
};

bool write_seeds(const std::string& dir) {
    bool ok = true;
    const auto life = [](script& s) -> script& {
        return s.submit(1).run().poll().compute_done().run().poll().use(3).run();
    };
    for (const bool driven : {false, true}) {
        script base;
        base.loop();
        driven ? base.device_of_callbacks().store_of_callbacks()
               : base.host_device().memory_store();
        const std::string name = driven ? "callbacks_" : "library_";
        script s = base;
        ok &= life(life(s.pipeline(0, driven).done())).write(dir, name + "owns_l1");
        s = base;
        s.pipeline(1, driven).done().submit(1).bind().run().poll().compute_done().run().poll();
        ok &= s.use(3).run().poll().write(dir, name + "engine_owns_l1");
        s = base;
        s.pipeline(6, driven, 2).add({1, 2, 0}).done();  // "external"
        ok &= life(s).write(dir, name + "policy_text");
        s = base;
        s.pipeline(0, driven, 24).add({0, 0, 36 + 5, 0, 0, 0, 0, 0}).done();
        ok &= life(s).write(dir, name + "policy_and_cost");
        s = base;
        s.pipeline(0, driven, 128);
        for (int i = 0; i < 15; ++i) {
            s.add({36 + 3});
        }
        ok &= life(s.done()).write(dir, name + "limits");
        s = base;
        s.pipeline(0, driven).done();
        for (const int what : {1, 2, 3, 4, 5, 7}) {
            s.submit(what).look(what).run().look(what).use(what % 5);
        }
        ok &= s.write(dir, name + "everything");
        s = base;
        s.put(1).put(2).run().take_batches().pipeline(0, driven).done();
        ok &= life(s).write(dir, name + "batches");
    }
    script split;
    split.loop().host_device().memory_store().pipeline(1, false, 2).add({1, 2, 0}).done();
    split.planner().add({4, 0, 0, 36 + 8, 2, 1, 2, 0, 0, 0, 1, 0, 1, 0});  // to the second
    split.export_plan(1).import_plan(0, 0).run().export_report(0).merge(1).import_report(1, 2);
    split.run().export_plan(1).import_plan(0, 3).run().export_report(0).import_report(1, 4);
    ok &= split.add({10, 1, 0, 0, 40}).write(dir, "split");
    ok &= script().fabric_store().write(dir, "fabric");
    return ok;
}

}  // namespace

int main(int argc, char** argv) {
    return sluice_test::corpus_main(argc, argv, SLUICE_OPTIONS_CORPUS, write_seeds);
}
