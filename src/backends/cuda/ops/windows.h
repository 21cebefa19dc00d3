// Sliding windows in generated kernels: what pooling and convolution share.
#pragma once

#include "backends/cuda/source.h"
#include "ops/window.h"

namespace cameo::cuda {

// The attributes that all of these operators have.
inline ops::WindowAttrs window_attrs(const Attributes& attrs) {
  ops::WindowAttrs w;
  w.auto_pad = attrs.text("auto_pad", "NOTSET");
  w.kernel_shape = attrs.integers("kernel_shape");
  w.strides = attrs.integers("strides");
  w.dilations = attrs.integers("dilations");
  w.pads = attrs.integers("pads");
  w.ceil_mode = attrs.integer("ceil_mode");
  return w;
}
inline ops::WindowAttrs window_attrs(const StepBuilder& b) { return window_attrs(b.attrs()); }

// The names of one window's loops.
struct Taps {
  std::vector<std::string> tap, position;  // an axis each
};
// Opens a loop over the taps along each axis that lie inside the input of these extents, for the output at `at`.
inline Taps open_taps(Source& s, const ops::Window& w, std::span<const int64_t> in, std::span<const std::string> at) {
  Taps taps;
  for (size_t a = 0; a < w.rank; ++a) {
    const std::string k = s.name("k"), p = s.name("p");
    s.line(fmt::format("for (I {0} = 0; {0} < {1}; ++{0}) {{", k, s.number(w.axes[a].kernel)));
    s.line(fmt::format("const I {} = ({}) * {} - {} + {} * {};", p, at[a], s.number(w.axes[a].stride), s.number(w.axes[a].begin), k,
                       s.number(w.axes[a].dilation)));
    s.line(fmt::format("if ({0} < 0 || {0} >= {1}) continue;", p, s.number(in[a])));
    taps.tap.push_back(k);
    taps.position.push_back(p);
  }
  return taps;
}
inline void close_taps(Source& s, const ops::Window& w) { s.line(std::string(w.rank, '}')); }

}  // namespace cameo::cuda
