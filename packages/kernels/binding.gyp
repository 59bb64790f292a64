{
  # One static library per instruction set, each compiled with its own flags; native/isa.cpp chooses one at run time.
  "target_defaults": {
    "include_dirs": ["native"],
    "cflags": ["-O3", "-fvisibility=hidden", "-Wall", "-Wextra", "-Wno-psabi"],
    "cflags_cc": ["-std=c++20"],
    "cflags_cc!": ["-std=gnu++14", "-std=gnu++17", "-std=gnu++20"],
    "xcode_settings": {
      "CLANG_CXX_LANGUAGE_STANDARD": "c++20",
      "GCC_OPTIMIZATION_LEVEL": "3",
      "GCC_SYMBOLS_PRIVATE_EXTERN": "YES",
      "MACOSX_DEPLOYMENT_TARGET": "11.0"
    }
  },
  "variables": {
    "avx512": ["-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mfma", "-mf16c", "-Wno-uninitialized", "-Wno-maybe-uninitialized"]
  },
  "targets": [
    {
      "target_name": "lamina_kernels",
      "sources": [
        "native/addon.cpp", "native/addon_attention.cpp", "native/addon_bytes.cpp", "native/addon_elementwise.cpp", "native/addon_later.cpp", "native/addon_linalg.cpp", "native/attention.cpp", "native/attention_bf16.cpp", "native/attention_work.cpp", "native/blake2b.cpp",
        "native/convert_f64.cpp", "native/eigen.cpp", "native/gemm.cpp", "native/gemv.cpp", "native/householder.cpp", "native/isa.cpp", "native/linear.cpp", "native/lm_head.cpp", "native/huge_pages.cpp", "native/map_file.cpp",
        "native/moves.cpp", "native/peak.cpp", "native/pool.cpp", "native/product_f64.cpp", "native/scratch.cpp", "native/segments.cpp", "native/stack.cpp"
      ],
      "defines": ["NAPI_VERSION=8"],
      "dependencies": ["portable"],
      "cflags_cc!": ["-fno-exceptions"],
      "conditions": [
        ["OS=='linux'", { "libraries": ["-ldl", "-pthread"] }],
        ["OS!='win' and target_arch=='x64'", { "dependencies": ["avx2", "avx512", "avx512bf16", "avx512vnni", "amx"] }],
        ["target_arch=='arm64'", { "dependencies": ["neon"] }]
      ]
    },
    { "target_name": "portable", "type": "static_library", "sources": ["native/simd/isa_portable.cpp"] }
  ],
  "conditions": [
    ["target_arch=='arm64'", {
      "targets": [{ "target_name": "neon", "type": "static_library", "sources": ["native/simd/isa_neon.cpp"] }]
    }],
    ["OS!='win' and target_arch=='x64'", {
      "targets": [
        { "target_name": "avx2", "type": "static_library", "sources": ["native/simd/isa_avx2.cpp"], "cflags": ["-mavx2", "-mfma", "-mf16c"],
          "xcode_settings": { "OTHER_CFLAGS": ["-mavx2", "-mfma", "-mf16c"] } },
        { "target_name": "avx512", "type": "static_library", "sources": ["native/simd/isa_avx512.cpp"], "cflags": ["<@(avx512)"],
          "xcode_settings": { "OTHER_CFLAGS": ["<@(avx512)"] } },
        { "target_name": "avx512bf16", "type": "static_library", "sources": ["native/simd/bf16_avx512.cpp", "native/simd/attention_bf16.cpp"], "cflags": ["<@(avx512)", "-mavx512bf16"],
          "xcode_settings": { "OTHER_CFLAGS": ["<@(avx512)", "-mavx512bf16"] } },
        { "target_name": "avx512vnni", "type": "static_library", "sources": ["native/simd/int8_vnni.cpp"], "cflags": ["<@(avx512)", "-mavx512vnni"],
          "xcode_settings": { "OTHER_CFLAGS": ["<@(avx512)", "-mavx512vnni"] } },
        { "target_name": "amx", "type": "static_library", "sources": ["native/simd/bf16_amx.cpp"],
          "cflags": ["<@(avx512)", "-mavx512bf16", "-mamx-tile", "-mamx-bf16"],
          "xcode_settings": { "OTHER_CFLAGS": ["<@(avx512)", "-mavx512bf16", "-mamx-tile", "-mamx-bf16"] } }
      ]
    }]
  ]
}
