// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <deque>
#include <vector>

#include <sluice/demand/sample_set.hpp>

namespace sluice::demand::detail {

/// The newest samples of a stream, as a set.
class window_samples {
 public:
    void add(double sample, std::size_t capacity) {
        if (order_.size() == capacity) {
            sorted_.erase(std::lower_bound(sorted_.begin(), sorted_.end(), order_.front()));
            order_.pop_front();
        }
        order_.push_back(sample);
        sorted_.insert(std::upper_bound(sorted_.begin(), sorted_.end(), sample), sample);
        changed_ = true;
    }
    void clear() {
        order_.clear();
        sorted_.clear();
        changed_ = true;
    }
    [[nodiscard]] const sample_set& samples() const {
        if (changed_) {
            samples_.assign_sorted(sorted_);
            changed_ = false;
        }
        return samples_;
    }

 private:
    std::deque<double> order_;
    std::vector<double> sorted_;
    mutable sample_set samples_;
    mutable bool changed_ = false;
};

}  // namespace sluice::demand::detail
