// Mean field of the dense CRF (Kraehenbuehl and Koltun, NIPS 2011): what pydensecrf computes, faster for few classes, as it
// goes over the pixels once per iteration with the classes in vector lanes. Used by cian/inference/crf.py, method "pruned".
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <string>

#include "permutohedral.h"

namespace {

using cian::Block;
using cian::kLanes;
using cian::Lattice;
using cian::Vector;

// exp for x <= 0 in every lane, relative error below 1e-6; 0 below e^-60, as denormal numbers are slow.
inline Vector exponential(Vector x) {
  typedef int32_t Integer __attribute__((vector_size(kLanes * sizeof(int32_t))));
  const Integer tiny = x < -60.0f;
  x = tiny ? Vector{} : x;
  const Vector turns = x * 1.44269504f - 0.5f;
  const Integer whole = __builtin_convertvector(turns, Integer);  // towards zero: nearest, as turns < 0
  const Vector power = __builtin_convertvector(whole, Vector);
  const Vector r = x - power * 0.693359375f + power * 2.12194440e-4f;
  Vector p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  return tiny ? Vector{} : p * reinterpret_cast<Vector>((whole + 127) << 23);
}

// Softmax over the lanes, in place.
template <int N>
void normalise(Block<N>& t) {
  float top = t.lanes[0][0], sum = 0;
  for (int k = 1; k < N * kLanes; ++k) top = std::max(top, t.lanes[k / kLanes][k % kLanes]);
  for (int v = 0; v < N; ++v) t.lanes[v] = exponential(t.lanes[v] - top);
  for (int k = 0; k < N * kLanes; ++k) sum += t.lanes[k / kLanes][k % kLanes];
  for (int v = 0; v < N; ++v) t.lanes[v] = t.lanes[v] * (1.0f / sum);
}

struct Problem {
  const unsigned char* image;              // (height, width, 3)
  const float *logits, *weights;           // (classes, height, width), (classes)
  float* out;                              // (classes, height, width): probabilities
  int classes, height, width, iterations;
  float gaussian_sxy, gaussian_compat, bilateral_sxy, bilateral_srgb, bilateral_compat;
};

template <int N>
void mean_field(const Problem& p) {
  const int points = p.height * p.width;
  const Lattice<2> near(points, [&p](int i, float* f) {
    f[0] = (i % p.width) / p.gaussian_sxy;
    f[1] = (i / p.width) / p.gaussian_sxy;
  });
  const Lattice<5> wide(points, [&p](int i, float* f) {
    f[0] = (i % p.width) / p.bilateral_sxy;
    f[1] = (i / p.width) / p.bilateral_sxy;
    for (int c = 0; c < 3; ++c) f[2 + c] = p.image[i * size_t(3) + c] / p.bilateral_srgb;
  });
  // one more entry than vertices: it stays 0 and stands for a missing neighbour
  std::vector<Block<N>> near_now(near.vertices() + 1), near_next(near_now), wide_now(wide.vertices() + 1), wide_next(wide_now);
  Block<N> near_compat = {}, wide_compat = {};
  for (int k = 0; k < p.classes; ++k) {
    near_compat.lanes[k / kLanes][k % kLanes] = p.gaussian_compat * p.weights[k];
    wide_compat.lanes[k / kLanes][k % kLanes] = p.bilateral_compat * p.weights[k];
  }
  for (int iteration = 0; iteration <= p.iterations; ++iteration) {
    std::fill(near_next.begin(), near_next.end(), Block<N>());
    std::fill(wide_next.begin(), wide_next.end(), Block<N>());
    for (int i = 0; i < points; ++i) {
      Block<N> t;
      for (int k = 0; k < N * kLanes; ++k)
        t.lanes[k / kLanes][k % kLanes] = k < p.classes ? p.logits[k * size_t(points) + i] : -1e30f;
      if (iteration > 0) {
        near.slice(i, near_now, near_compat, t);
        wide.slice(i, wide_now, wide_compat, t);
      }
      normalise(t);
      if (iteration < p.iterations) {
        near.splat(i, t, near_next);
        wide.splat(i, t, wide_next);
      } else {
        for (int k = 0; k < p.classes; ++k) p.out[k * size_t(points) + i] = t.lanes[k / kLanes][k % kLanes];
      }
    }
    std::swap(near_now, near_next);
    std::swap(wide_now, wide_next);
    near.blur(near_now, near_next);
    wide.blur(wide_now, wide_next);
  }
}

PyObject* run(PyObject*, PyObject* arguments) {
  Problem p;
  Py_buffer image, logits, weights, out;
  if (!PyArg_ParseTuple(arguments, "y*y*y*w*iiiifffff", &image, &logits, &weights, &out, &p.classes, &p.height, &p.width,
                        &p.iterations, &p.gaussian_sxy, &p.gaussian_compat, &p.bilateral_sxy, &p.bilateral_srgb,
                        &p.bilateral_compat))
    return nullptr;
  const Py_ssize_t points = Py_ssize_t(p.height) * p.width, floats = points * p.classes * Py_ssize_t(sizeof(float));
  const char* error = nullptr;
  std::string message;
  if (p.classes < 1 || p.classes > 2 * kLanes || p.height < 1 || p.width < 1 || p.iterations < 0 || image.len != 3 * points ||
      logits.len != floats || out.len != floats || weights.len != p.classes * Py_ssize_t(sizeof(float))) {
    error = "expected 1 to 8 classes and buffers of their, the height's and the width's size";
  } else {
    p.image = static_cast<const unsigned char*>(image.buf);
    p.logits = static_cast<const float*>(logits.buf);
    p.weights = static_cast<const float*>(weights.buf);
    p.out = static_cast<float*>(out.buf);
    Py_BEGIN_ALLOW_THREADS
    try {
      p.classes <= kLanes ? mean_field<1>(p) : mean_field<2>(p);
    } catch (const std::exception& exception) {
      message = exception.what();
      error = message.c_str();
    }
    Py_END_ALLOW_THREADS
  }
  for (Py_buffer* buffer : {&image, &logits, &weights, &out}) PyBuffer_Release(buffer);
  if (error) {
    PyErr_SetString(PyExc_ValueError, error);
    return nullptr;
  }
  Py_RETURN_NONE;
}

PyMethodDef methods[] = {
    {"mean_field", run, METH_VARARGS,
     "mean_field(image, logits, weights, out, classes, height, width, iterations, gaussian_sxy, gaussian_compat, "
     "bilateral_sxy, bilateral_srgb, bilateral_compat): fill `out`; all buffers contiguous, see cian/inference/crf.py."},
    {nullptr, nullptr, 0, nullptr}};

PyModuleDef module = {PyModuleDef_HEAD_INIT, "_mean_field", "Mean field of the dense CRF; see cian/inference/crf.py.", -1, methods,
                      nullptr, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__mean_field() { return PyModule_Create(&module); }
