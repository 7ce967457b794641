// SPDX-License-Identifier: Apache-2.0
// The coefficients of the elementary functions. Printed by tools/fit_elementary.py: change them there.
#ifndef TRN_COEFFICIENTS_H
#define TRN_COEFFICIENTS_H

// (e**y - 1 - y) / y**2 for |y| <= 0.3475; relative error of e**y - 1: 2**-25.5
#define TRN_EXPM1_0 0x1.fffffep-2f
#define TRN_EXPM1_1 0x1.5554b6p-3f
#define TRN_EXPM1_2 0x1.5556aep-5f
#define TRN_EXPM1_3 0x1.122a54p-7f
#define TRN_EXPM1_4 0x1.6bfcf4p-10f

// (2**f - 1) / f for |f| <= 0.5; relative error of 2**f: 2**-23.0
#define TRN_EXP2_0 0x1.62e42ap-1f
#define TRN_EXP2_1 0x1.ebf9c2p-3f
#define TRN_EXP2_2 0x1.c6b614p-5f
#define TRN_EXP2_3 0x1.3cee46p-7f
#define TRN_EXP2_4 0x1.5cbbfp-10f

// (log((1 + s) / (1 - s)) / s - 2) / s**2 in powers of s**2 for |s| <= 0.1716; relative error of the log: 2**-35.2
#define TRN_LOG_0 0x1.555554p-1f
#define TRN_LOG_1 0x1.999c26p-2f
#define TRN_LOG_2 0x1.23d3ep-2f
#define TRN_LOG_3 0x1.f13b26p-3f

// (sin r - r) / r**3 in powers of r**2 for |r| <= 0.7865; relative error of sin r: 2**-27.9
#define TRN_SIN_0 -0x1.555546p-3f
#define TRN_SIN_1 0x1.110774p-7f
#define TRN_SIN_2 -0x1.9951dap-13f

// (cos r - 1 + r**2 / 2) / r**4 in powers of r**2 for |r| <= 0.7865; relative error of cos r: 2**-33.0
#define TRN_COS_0 0x1.55554ap-5f
#define TRN_COS_1 -0x1.6c0c28p-10f
#define TRN_COS_2 0x1.99e80cp-16f

// (atan t - t) / t**3 in powers of t**2 for |t| <= 0.41422; relative error of atan t: 2**-30.4
#define TRN_ATAN_0 -0x1.55554ap-2f
#define TRN_ATAN_1 0x1.9991e2p-3f
#define TRN_ATAN_2 -0x1.23b9a2p-3f
#define TRN_ATAN_3 0x1.b22456p-4f
#define TRN_ATAN_4 -0x1.f2e5a8p-5f

// erf(x) / x - 1 in powers of x**2 for |x| <= 0.925; relative error of erf x: 2**-30.1
#define TRN_ERF_0 0x1.06eba8p-3f
#define TRN_ERF_1 -0x1.81274p-2f
#define TRN_ERF_2 0x1.ce2d64p-4f
#define TRN_ERF_3 -0x1.b80118p-6f
#define TRN_ERF_4 0x1.5449e4p-8f
#define TRN_ERF_5 -0x1.a606c2p-11f
#define TRN_ERF_6 0x1.4f562cp-14f

// log2(1 - erf(x)) for 0.925 <= x <= 4; absolute error of erf x: 2**-34.4
#define TRN_ERFC_0 0x1.0c078ep-12f
#define TRN_ERFC_1 -0x1.a12b0cp+0f
#define TRN_ERFC_2 -0x1.d3cf42p-1f
#define TRN_ERFC_3 -0x1.4002a6p-3f
#define TRN_ERFC_4 0x1.2916e8p-5f
#define TRN_ERFC_5 -0x1.8b06c8p-8f
#define TRN_ERFC_6 0x1.49b998p-11f
#define TRN_ERFC_7 -0x1.00d84ap-15f

// log2((1 + s) / (1 - s)) / s in powers of s**2 for |s| <= 0.1716, in double; relative error: 2**-45.1
#define TRN_POW_LOG2_0 0x1.71547652b8251p+1
#define TRN_POW_LOG2_1 0x1.ec709dc53cba6p-1
#define TRN_POW_LOG2_2 0x1.2776c292c87a7p-1
#define TRN_POW_LOG2_3 0x1.a61a2f33aa8ap-2
#define TRN_POW_LOG2_4 0x1.4795439878d8dp-2
#define TRN_POW_LOG2_5 0x1.21b208cf43456p-2

// (2**f - 1) / f for |f| <= 0.5, in double; relative error of 2**f: 2**-39.1
#define TRN_POW_EXP2_0 0x1.62e42fef89d2ep-1
#define TRN_POW_EXP2_1 0x1.ebfbdff8e0ca7p-3
#define TRN_POW_EXP2_2 0x1.c6b08dceb4bedp-5
#define TRN_POW_EXP2_3 0x1.3b2ab5b54bbap-7
#define TRN_POW_EXP2_4 0x1.5d8748f7d9627p-10
#define TRN_POW_EXP2_5 0x1.430b48df0f94p-13
#define TRN_POW_EXP2_6 0x1.00dd7d7c2de67p-16
#define TRN_POW_EXP2_7 0x1.6101746dd794ep-20

// tanh(x / 2) = x / 2 P(x**2) / Q(x**2) for |x| <= 9.25, P and Q 1 at 0; relative error of tanh x: 2**-26.8
#define TRN_TANH_P1 0x1.e7b4ecp-6f
#define TRN_TANH_P2 0x1.de9d66p-14f
#define TRN_TANH_Q1 0x1.cf4286p-4f
#define TRN_TANH_Q2 0x1.3c1c08p-10f
#define TRN_TANH_Q3 0x1.49138ep-20f

// ln 2; the first part has 15 bits, so that an exponent times it is exact
#define TRN_LN2_0 0x1.62e4p-1f
#define TRN_LN2_1 0x1.7f7d1cp-20f

// pi / 2; the first three parts have 11 bits, so that an integer below 2**13 times them is exact
#define TRN_HALF_PI_0 0x1.92p+0f
#define TRN_HALF_PI_1 0x1.fb4p-12f
#define TRN_HALF_PI_2 0x1.444p-24f
#define TRN_HALF_PI_3 0x1.68c234p-39f

// pi / 2 in two parts
#define TRN_QUARTER_TURN_0 0x1.921fb6p+0f
#define TRN_QUARTER_TURN_1 -0x1.777a5cp-25f

// 2 / pi: a word before the point and 224 bits behind it, the highest word first.
#define TRN_TWO_OVER_PI \
    {0x00000000u, 0xa2f9836eu, 0x4e441529u, 0xfc2757d1u, 0xf534ddc0u, 0xdb629599u, 0x3c439041u, 0xfe5163abu}

#endif
