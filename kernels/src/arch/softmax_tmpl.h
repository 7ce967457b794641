// SPDX-License-Identifier: Apache-2.0
// f32_softmax: three passes over a row. A NaN anywhere reaches the sum, and so every result.

static float softmax_maximum(size_t n, const float *x) {
    vf most = vf_set1(-TRN_INF);
    size_t i = 0;
    for (; i + VF_LANES <= n; i += VF_LANES) most = vf_at_least(vf_load(x + i), most);
    float lanes[VF_LANES], largest = -TRN_INF;
    vf_store(lanes, most);
    for (; i < n; i++) lanes[i % VF_LANES] = x[i] > lanes[i % VF_LANES] ? x[i] : lanes[i % VF_LANES];
    for (int lane = 0; lane < VF_LANES; lane++) largest = lanes[lane] > largest ? lanes[lane] : largest;
    return largest;
}

// e^(x - largest), stored in y unless that is NULL, and summed: lane j takes every eighth element from j on.
static float softmax_sum(size_t n, const float *x, float largest, float *y) {
    const vf top = vf_set1(largest);
    vf sum = vf_zero();
    size_t i = 0;
    for (; i + VF_LANES <= n; i += VF_LANES) {
        vf power = f32_exp(vf_sub(vf_load(x + i), top));
        sum = vf_add(sum, power);
        if (y) vf_store(y + i, power);
    }
    if (i < n) {
        float lanes[VF_LANES];
        vf power = f32_exp(vf_sub(vf_load_n(x + i, n - i), top));
        if (y) vf_store_n(y + i, power, n - i);
        vf_store(lanes, vf_zero());
        vf_store_n(lanes, power, n - i);
        sum = vf_add(sum, vf_load(lanes));
    }
    return vf_reduce_add(sum);
}

static void TRN_KERNEL(f32_softmax)(size_t n, const float *x, int logarithm, float *y) {
    const float largest = softmax_maximum(n, x);
    float first[VF_LANES];
    if (!logarithm) {
        const float sum = softmax_sum(n, x, largest, y);
        const vf total = vf_set1(sum);
        size_t i = 0;
        for (; i + VF_LANES <= n; i += VF_LANES) vf_store(y + i, vf_div(vf_load(y + i), total));
        if (i < n) vf_store_n(y + i, vf_div(vf_load_n(y + i, n - i), total), n - i);
        return;
    }
    vf_store(first, f32_log(vf_set1(softmax_sum(n, x, largest, NULL))));
    for (size_t i = 0; i < n; i++) y[i] = (x[i] - largest) - first[0];
}
