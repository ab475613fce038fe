// Gaussian filtering of scattered points in D dimensions: splat onto lattice vertices, blur, slice.
//
// Adams, Baek and Davis, "Fast High-Dimensional Filtering Using the Permutohedral Lattice", Eurographics 2010. The kernel
// K is normalised symmetrically, D^-1/2 K D^-1/2 with D = K 1, as in Kraehenbuehl and Koltun, NIPS 2011.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <vector>

namespace cian {

constexpr int kLanes = 4;
typedef float Vector __attribute__((vector_size(kLanes * sizeof(float))));

// Values of up to N * kLanes classes at one point.
template <int N>
struct Block {
  Vector lanes[N];
};

// Vertex number of each lattice point met so far, by its coordinates packed into 64 bits; open addressing.
class VertexTable {
 public:
  VertexTable() : bits_(16), slots_(size_t(1) << bits_, empty()) {}

  int size() const { return static_cast<int>(keys_.size()); }
  uint64_t key(int vertex) const { return keys_[vertex]; }

  // The vertex of this key, or -1.
  int find(uint64_t key) const { return slots_[place(key)].vertex; }

  // The vertex of this key, a new one if it has none yet.
  int insert(uint64_t key) {
    const size_t at = place(key);
    if (slots_[at].vertex >= 0) return slots_[at].vertex;
    const int vertex = size();
    slots_[at] = {key, vertex};
    keys_.push_back(key);
    if (2 * keys_.size() > slots_.size()) {
      slots_.assign(size_t(1) << ++bits_, empty());
      for (int other = 0; other < size(); ++other) slots_[place(keys_[other])] = {keys_[other], other};
    }
    return vertex;
  }

 private:
  struct Slot {
    uint64_t key;
    int vertex;
  };

  static Slot empty() { return {0, -1}; }

  size_t place(uint64_t key) const {
    size_t at = key * 0x9E3779B97F4A7C15ull >> (64 - bits_);  // the product's highest bits depend on the whole key
    while (slots_[at].vertex >= 0 && slots_[at].key != key) at = (at + 1) & (slots_.size() - 1);
    return at;
  }

  int bits_;
  std::vector<Slot> slots_;
  std::vector<uint64_t> keys_;
};

// The lattice of points in D dimensions: the D + 1 vertices of each point's simplex, their weights, and the blur.
template <int D>
class Lattice {
 public:
  static constexpr int kVertices = D + 1;

  // feature(i, f) writes the D coordinates of point i, in standard deviations of the kernel, to f.
  template <typename Feature>
  Lattice(int points, Feature feature)
      : vertex_(points * size_t(kVertices)), weight_(points * size_t(kVertices)), norm_(points) {
    VertexTable table;
    float scale[D];
    for (int j = 0; j < D; ++j) scale[j] = std::sqrt(2.0 / 3.0) * (D + 1) / std::sqrt((j + 1.0) * (j + 2.0));
    int origin[kVertices], rank[kVertices], last_origin[kVertices], last_rank[kVertices];
    for (int i = 0; i < points; ++i) {
      float f[D], elevated[kVertices];
      feature(i, f);
      float sum = 0;
      for (int j = D; j > 0; --j) {  // onto the hyperplane whose coordinates add up to 0
        const float scaled = f[j - 1] * scale[j - 1];
        elevated[j] = sum - j * scaled;
        sum += scaled;
      }
      elevated[0] = sum;
      locate(elevated, origin, rank);
      float* weight = &weight_[i * size_t(kVertices)];
      barycentric(elevated, origin, rank, weight);
      int* vertex = &vertex_[i * size_t(kVertices)];
      if (i && !std::memcmp(origin, last_origin, sizeof origin) && !std::memcmp(rank, last_rank, sizeof rank)) {
        std::copy(vertex - kVertices, vertex, vertex);  // neighbours often share their simplex
        continue;
      }
      std::memcpy(last_origin, origin, sizeof origin);
      std::memcpy(last_rank, rank, sizeof rank);
      for (int r = 0; r < kVertices; ++r) {
        int coordinates[D];
        for (int j = 0; j < D; ++j) coordinates[j] = origin[j] + (rank[j] <= D - r ? r : r - kVertices);
        vertex[r] = table.insert(pack(coordinates));
      }
    }
    vertices_ = table.size();
    connect(table);
    std::vector<Block<1>> ones(vertices_ + 1, Block<1>()), buffer(ones);
    for (size_t e = 0; e < vertex_.size(); ++e) ones[vertex_[e]].lanes[0][0] += weight_[e];
    blur(ones, buffer);
    for (int i = 0; i < points; ++i) {
      float sum = 0;
      const size_t at = i * size_t(kVertices);
      for (size_t e = at; e < at + kVertices; ++e) sum += weight_[e] * ones[vertex_[e]].lanes[0][0];
      norm_[i] = 1.0f / std::sqrt(sum * gain() + 1e-20f);
    }
  }

  int vertices() const { return vertices_; }

  // Add the values q of point i, N vectors, to those of its vertices.
  template <int N>
  void splat(int i, const Block<N>& q, std::vector<Block<N>>& values) const {
    const size_t at = i * size_t(kVertices);
    for (int r = 0; r < kVertices; ++r) {
      const float w = weight_[at + r] * norm_[i];
      Block<N>& value = values[vertex_[at + r]];
      for (int v = 0; v < N; ++v) value.lanes[v] += w * q.lanes[v];
    }
  }

  // Add compat times what the vertices of point i hold to `out`.
  template <int N>
  void slice(int i, const std::vector<Block<N>>& values, const Block<N>& compat, Block<N>& out) const {
    const size_t at = i * size_t(kVertices);
    Block<N> sum = {};
    for (int r = 0; r < kVertices; ++r) {
      const Block<N>& value = values[vertex_[at + r]];
      for (int v = 0; v < N; ++v) sum.lanes[v] += weight_[at + r] * value.lanes[v];
    }
    for (int v = 0; v < N; ++v) out.lanes[v] += norm_[i] * gain() * compat.lanes[v] * sum.lanes[v];
  }

  // (1/2 1 1/2) along each lattice direction; the entry after the last vertex stays 0 and stands for "no neighbour".
  template <int N>
  void blur(std::vector<Block<N>>& values, std::vector<Block<N>>& buffer) const {
    for (int j = 0; j < kVertices; ++j) {
      const int* near = &neighbour_[size_t(j) * 2 * vertices_];
      for (int m = 0; m < vertices_; ++m) {
        const Block<N>&a = values[near[2 * m]], &b = values[near[2 * m + 1]];
        for (int v = 0; v < N; ++v) buffer[m].lanes[v] = values[m].lanes[v] + 0.5f * (a.lanes[v] + b.lanes[v]);
      }
      std::swap(values, buffer);
    }
  }

 private:
  static constexpr int kBits = 60 / D, kHalf = 1 << ((kBits < 20 ? kBits : 20) - 1);

  static constexpr int kFar = 1 << 14;  // beyond any coordinate that pack accepts, divided by D + 1

  static constexpr float gain() { return 1.0f / (1.0f + 1.0f / (1 << D)); }

  static uint64_t pack(const int* coordinates) {
    uint64_t key = 0;
    for (int j = 0; j < D; ++j) {
      if (coordinates[j] <= -kHalf + D + 1 || coordinates[j] >= kHalf - D - 1) throw std::range_error("kernel too narrow");
      key = key << kBits | uint64_t(coordinates[j] + kHalf);
    }
    return key;
  }

  // The nearest remainder-0 lattice point and the rank of each coordinate's distance from it, greatest first.
  static void locate(const float* elevated, int* origin, int* rank) {
    float distance[kVertices];
    int sum = 0;
    for (int j = 0; j < kVertices; ++j) {
      const int step = static_cast<int>(elevated[j] * (1.0f / kVertices) + (kFar + 0.5f)) - kFar;  // rounds, without a call
      origin[j] = step * kVertices;
      distance[j] = elevated[j] - origin[j];
      sum += step;
      rank[j] = 0;
    }
    for (int j = 0; j < D; ++j)
      for (int k = j + 1; k < kVertices; ++k) {
        const int behind = distance[j] < distance[k];
        rank[j] += behind;
        rank[k] += 1 - behind;
      }
    for (int j = 0; j < kVertices; ++j) {  // back onto the hyperplane
      rank[j] += sum;
      const int turn = rank[j] < 0 ? kVertices : rank[j] > D ? -kVertices : 0;
      rank[j] += turn;
      origin[j] += turn;
    }
  }

  static void barycentric(const float* elevated, const int* origin, const int* rank, float* weight) {
    float ordered[kVertices];
    for (int j = 0; j < kVertices; ++j) ordered[rank[j]] = (elevated[j] - origin[j]) * (1.0f / kVertices);
    weight[0] = 1 + ordered[D] - ordered[0];
    for (int r = 1; r < kVertices; ++r) weight[r] = ordered[D - r] - ordered[D - r + 1];
  }

  void connect(const VertexTable& table) {
    neighbour_.assign(size_t(kVertices) * 2 * vertices_, vertices_);
    for (int j = 0; j < kVertices; ++j) {
      uint64_t step = 0;  // + (-1, ..., -1) and D + 1 more on axis j; adding to a packed key never overflows a field
      for (int k = 0; k < D; ++k) step = (step << kBits) + uint64_t(int64_t(k == j ? D : -1));
      for (int m = 0; m < vertices_; ++m) {
        const int other = table.find(table.key(m) + step);
        if (other < 0) continue;
        neighbour_[(size_t(j) * vertices_ + m) * 2] = other;
        neighbour_[(size_t(j) * vertices_ + other) * 2 + 1] = m;
      }
    }
  }

  std::vector<int> vertex_, neighbour_;
  std::vector<float> weight_, norm_;
  int vertices_;
};

}  // namespace cian
