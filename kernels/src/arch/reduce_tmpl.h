// SPDX-License-Identifier: Apache-2.0
// f32_reduce, f32_standardize: sums over a row. Lane j takes every eighth element from j on, then one tree of the lanes:
// ((0, 4), (2, 6)), ((1, 5), (3, 7)); products, maxima and minima go the same way.

// F(row of the enumeration reduction, the value of no elements, vectors a and b folded, floats x and y folded likewise)
#define REDUCE_KINDS(F)                                                                                  \
    F(SUM, 0.0f, vf_add(a, b), x + y)                                                                    \
    F(PROD, 1.0f, vf_mul(a, b), x * y)                                                                   \
    F(MAX, -TRN_INF, vf_select(vf_is_nan(a), a, vf_at_least(a, b)), x != x || y < x ? x : y)             \
    F(MIN, TRN_INF, vf_select(vf_is_nan(a), a, vf_at_most(a, b)), x != x || x < y ? x : y)

// The eight lanes, in as many vectors as the vocabulary needs for them.
enum { ROW_LANES = 8 };
typedef struct row_lanes { vf part[ROW_LANES / VF_LANES]; } row_lanes;
#define ROW_EACH(i) TRN_UNROLL for (size_t i = 0; i < ROW_LANES / VF_LANES; i++)

TRN_INLINE row_lanes row_set1(float x) {
    row_lanes lanes;
    ROW_EACH(j) lanes.part[j] = vf_set1(x);
    return lanes;
}
// Eight elements; row_load_n: n of them, the other lanes neutral.
TRN_INLINE row_lanes row_load(const float *x) {
    row_lanes lanes;
    ROW_EACH(j) lanes.part[j] = vf_load(x + j * VF_LANES);
    return lanes;
}
TRN_INLINE row_lanes row_load_n(const float *x, size_t n, float neutral) {
    float eight[ROW_LANES];
    for (size_t i = 0; i < ROW_LANES; i++) eight[i] = i < n ? x[i] : neutral;
    return row_load(eight);
}

TRN_INLINE void row_store(float *y, row_lanes lanes) { ROW_EACH(j) vf_store(y + j * VF_LANES, lanes.part[j]); }

// reduce_lanes: lane by lane; reduce_tree: the lanes with each other, as floats, which wait less for each other than the
// parts of a vector do.
#define REDUCE_LOOP(name, neutral, of_vectors, of_floats)                                                   \
    TRN_INLINE vf reduce_vectors_##name(vf a, vf b) { return of_vectors; }                                  \
    TRN_INLINE float reduce_floats_##name(float x, float y) { return of_floats; }                           \
    TRN_INLINE row_lanes reduce_lanes_##name(row_lanes a, row_lanes b) {                                    \
        ROW_EACH(j) a.part[j] = reduce_vectors_##name(a.part[j], b.part[j]);                                \
        return a;                                                                                           \
    }                                                                                                       \
    TRN_INLINE float reduce_tree_##name(row_lanes lanes) {                                                  \
        float eight[ROW_LANES];                                                                             \
        row_store(eight, lanes);                                                                            \
        TRN_UNROLL for (size_t distance = ROW_LANES / 2; distance > 0; distance /= 2)                       \
            TRN_UNROLL for (size_t i = 0; i < distance; i++)                                                \
                eight[i] = reduce_floats_##name(eight[i], eight[i + distance]);                             \
        return eight[0];                                                                                    \
    }                                                                                                       \
    static float reduce_##name(size_t n, const float *x) {                                                  \
        row_lanes lanes = row_set1(neutral);                                                                \
        size_t i = 0;                                                                                       \
        for (; i + ROW_LANES <= n; i += ROW_LANES) lanes = reduce_lanes_##name(lanes, row_load(x + i));     \
        if (i < n) lanes = reduce_lanes_##name(lanes, row_load_n(x + i, n - i, neutral));                   \
        return reduce_tree_##name(lanes);                                                                   \
    }
REDUCE_KINDS(REDUCE_LOOP)

TRN_SLOT void TRN_KERNEL(f32_reduce)(uint32_t kind, size_t n, const float *x, float *y) {
#define REDUCE_CASE(name, neutral, of_vectors, of_floats) \
    case trn_reduction_##name: *y = reduce_##name(n, x); break;
    switch (kind) {
        REDUCE_KINDS(REDUCE_CASE)
    case trn_reduction_MEAN: *y = reduce_SUM(n, x) / (float)n; break;
    }
#undef REDUCE_CASE
}

TRN_INLINE row_lanes add_squares(row_lanes sum, row_lanes x) {
    ROW_EACH(j) sum.part[j] = vf_add(sum.part[j], vf_mul(x.part[j], x.part[j]));
    return sum;
}

TRN_SLOT void TRN_KERNEL(f32_standardize)(size_t n, const float *x, float epsilon, float *y) {
    const vf mean = vf_set1(reduce_SUM(n, x) / (float)n);
    row_lanes squares = row_set1(0.0f);
    size_t i = 0;
    for (; i + VF_LANES <= n; i += VF_LANES) vf_store(y + i, vf_sub(vf_load(x + i), mean));
    if (i < n) vf_store_n(y + i, vf_sub(vf_load_n(x + i, n - i), mean), n - i);
    for (i = 0; i + ROW_LANES <= n; i += ROW_LANES) squares = add_squares(squares, row_load(y + i));
    if (i < n) squares = add_squares(squares, row_load_n(y + i, n - i, 0.0f));
    const vf variance = vf_add(vf_set1(reduce_tree_SUM(squares) / (float)n), vf_set1(epsilon)), deviation = vf_sqrt(variance);
    for (i = 0; i + VF_LANES <= n; i += VF_LANES) vf_store(y + i, vf_div(vf_load(y + i), deviation));
    if (i < n) vf_store_n(y + i, vf_div(vf_load_n(y + i, n - i), deviation), n - i);
}
