#!/usr/bin/env python3
"""MnasNet-A1 built in Keras and converted to fp32 .tflite by TensorFlow, to be compared with the file mnas writes.

    pip install tensorflow-cpu
    mnas export mnasnet-a1 --seed 1 -o a1.tflite --save-weights a1.safetensors
    python3 benches/mnasnet_a1_tensorflow.py a1.safetensors a1_tensorflow.tflite
    mnas bench a1.tflite a1_tensorflow.tflite --baseline a1_tensorflow.tflite --rounds 40

The network and the weights are the same, so the outputs must be too; what is compared is how the two files run.
Block strings: tensorflow/tpu models/official/mnasnet. Batch norm's epsilon is 1e-3 there.
"""

import json
import pathlib
import re
import struct
import sys

import numpy
import tensorflow as tf

STEM, HEAD, CLASSES, INPUT = 32, 1280, 1000, 224
BLOCKS = """r1_k3_s11_e1_i32_o16_noskip r2_k3_s22_e6_i16_o24 r3_k5_s22_e3_i24_o40_se0.25 r4_k3_s22_e6_i40_o80
r2_k3_s11_e6_i80_o112_se0.25 r3_k5_s22_e6_i112_o160_se0.25 r1_k3_s11_e6_i160_o320""".split()
BATCH_NORM_EPSILON = 1e-3


def read_safetensors(path):
    """Arrays by name: a length, a JSON header, then the values."""
    data = pathlib.Path(path).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    arrays = {}
    for name, entry in header.items():
        if name != "__metadata__":
            start, end = (8 + length + offset for offset in entry["data_offsets"])
            arrays[name] = numpy.frombuffer(data[start:end], numpy.float32).reshape(entry["shape"])
    return arrays


class Builder:
    """Keras layers named as mnas names them; `finish` gives them their weights."""

    def __init__(self, arrays):
        self.arrays, self.pending = arrays, []

    def batch_norm(self, x, name):
        layer = tf.keras.layers.BatchNormalization(epsilon=BATCH_NORM_EPSILON)
        parts = ("weight", "bias", "running_mean", "running_var")
        self.pending.append((layer, [self.arrays[f"{name}.bn.{part}"] for part in parts]))
        return layer(x)

    def conv(self, x, name, filters, kernel=1, stride=1, relu=True):
        layer = tf.keras.layers.Conv2D(filters, kernel, stride, padding="same", use_bias=False)
        self.pending.append((layer, [self.arrays[f"{name}.weight"].transpose(2, 3, 1, 0)]))
        x = self.batch_norm(layer(x), name)
        return tf.keras.layers.ReLU()(x) if relu else x

    def depthwise(self, x, name, kernel, stride):
        layer = tf.keras.layers.DepthwiseConv2D(kernel, stride, padding="same", use_bias=False)
        self.pending.append((layer, [self.arrays[f"{name}.weight"].transpose(2, 3, 0, 1)]))
        return tf.keras.layers.ReLU()(self.batch_norm(layer(x), name))

    def biased(self, x, name, filters, activation):
        layer = tf.keras.layers.Conv2D(filters, 1, activation=activation)
        weight = self.arrays[f"{name}.weight"].transpose(2, 3, 1, 0)
        self.pending.append((layer, [weight, self.arrays[f"{name}.bias"]]))
        return layer(x)

    def gate(self, x, name, squeezed):
        pooled = tf.keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
        reduced = self.biased(pooled, f"{name}.se.reduce", squeezed, "relu")
        gate = self.biased(reduced, f"{name}.se.expand", x.shape[-1], "sigmoid")
        return tf.keras.layers.Multiply()([x, gate])

    def block_layer(self, x, name, block, stride):
        source, channels = x, x.shape[-1]
        if block["e"] > 1:
            x = self.conv(x, f"{name}.expand", channels * block["e"])
        x = self.depthwise(x, f"{name}.depthwise", block["k"], stride)
        if block["se"]:
            x = self.gate(x, name, max(1, int(channels * block["se"])))
        x = self.conv(x, f"{name}.project", block["o"], relu=False)
        if stride == 1 and channels == block["o"] and not block["noskip"]:
            x = tf.keras.layers.Add()([x, source])
        return x

    def dense(self, x, name):
        layer = tf.keras.layers.Dense(CLASSES)
        self.pending.append((layer, [self.arrays[f"{name}.weight"].T, self.arrays[f"{name}.bias"]]))
        return layer(x)

    def finish(self):
        for layer, weights in self.pending:
            layer.set_weights(weights)


def parse(text):
    number = lambda key: int(re.search(rf"(?:^|_){key}(\d+)", text).group(1))
    ratio = re.search(r"_se([\d.]+)", text)
    return {
        **{key: number(key) for key in ("r", "k", "e", "o")},
        "stride": int(re.search(r"_s(\d)\d", text).group(1)),
        "se": float(ratio.group(1)) if ratio else 0.0,
        "noskip": text.endswith("noskip"),
    }


def mnasnet_a1(arrays):
    builder = Builder(arrays)
    image = tf.keras.Input((INPUT, INPUT, 3), batch_size=1, name="image")
    x = builder.conv(image, "stem", STEM, 3, 2)
    for index, block in enumerate(map(parse, BLOCKS), 1):
        for repeat in range(1, block["r"] + 1):
            x = builder.block_layer(x, f"block{index}.{repeat}", block, block["stride"] if repeat == 1 else 1)
    x = builder.conv(x, "head", HEAD)
    logits = builder.dense(tf.keras.layers.GlobalAveragePooling2D()(x), "classifier")
    model = tf.keras.Model(image, logits)
    builder.finish()
    return model


def main():
    weights, output = sys.argv[1:]
    model = mnasnet_a1(read_safetensors(weights))
    pathlib.Path(output).write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())


if __name__ == "__main__":
    main()
