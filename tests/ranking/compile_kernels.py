"""Compile every kernel for a GPU that need not be there; prints what each one takes, as JSON."""

import json
import sys

import triton
from triton.backends.compiler import GPUTarget

from mmdet_alrp.ranking import fused, fused_passes, triton_logits, triton_pairs, triton_tables

POINTERS = {
    'logits': '*fp32', 'targets': '*i8', 'weights': '*fp32', 'images': '*i32', 'edges': '*fp32',
    'cells': '*i32', 'grid': '*fp32', 'steps': '*i64', 'hardest': '*i32', 'tables': '*i64',
    'lines': '*fp32', 'factor': '*fp32', 'gradient': '*fp32', 'positives': '*fp32',
    'places': '*i32', 'starts': '*i32', 'ends': '*i32', 'edge_images': '*i32', 'pos_rank': '*fp64',
    'num_broken': '*i64', 'num_fp': '*fp64', 'update': '*fp64', 'spread': '*fp64',
    'pos_index': '*i64', 'values': '*fp64', 'labels': '*fp64', 'sums': '*fp64',
}  # fmt: skip
SCALARS = dict.fromkeys(('count', 'num_bins', 'bits', 'copies', 'num_edges', 'num_images'), 'i32')
SCALARS.update(n='i64', skew='fp32')
SETTINGS = {
    'BLOCK': fused_passes.BLOCK, 'CELLS': fused.MAX_CELLS, 'CROWDED': 2,
    'ROWS': fused.TILE[0], 'COLUMNS': fused.TILE[1],
}  # fmt: skip
PASSES = ('find_hardest', 'count_negatives', 'write_gradient', 'move_positives')
TABLES = ('place_positives', 'fill_grid', 'sum_negatives', 'draw_lines', 'pair_sums')


def variants(logits: str):
    """Settings of every kernel: steps hard and smooth, one ranking and many, each sum of pairs."""
    for name in PASSES:
        for classes in (0, 80):
            for special in (False, True):
                yield triton_logits, name, {
                    'CLASSES': classes, 'BY_IMAGE': special, 'SKEWED': special, 'HARD': special,
                }  # fmt: skip
    if logits != 'fp32':
        return  # no other kernel reads logits
    for name in TABLES:
        for special in (False, True):
            options = {'BY_IMAGE': special, 'SKEWED': special, 'DELTA': 0.0 if special else 0.3}
            if name == 'fill_grid':
                options['BLOCK'] = 1024
            for kind in range(7 if name == 'pair_sums' else 1):
                module = triton_pairs if name == 'pair_sums' else triton_tables
                yield module, name, {**options, 'KIND': kind}


def compile_for(capability: int, logits: str) -> list[dict]:
    """Compile all variants; logits and gradients are of one type."""
    found = []
    for module, name, options in variants(logits):
        kernel = getattr(module, name)
        settings = {**SETTINGS, **options}
        constants = {key: settings[key] for key in kernel.arg_names if key in settings}
        types = {**POINTERS, **SCALARS, 'logits': f'*{logits}', 'gradient': f'*{logits}'}
        signature = {
            key: 'constexpr' if key in constants else types[key] for key in kernel.arg_names
        }
        source = triton.compiler.ASTSource(kernel, signature, constants)
        target = GPUTarget('cuda', capability, 32)
        done = triton.compile(source, target=target, options={'num_warps': 8})
        found.append({'name': name, 'constants': constants, 'asm': done.asm})
    return found


if __name__ == '__main__':
    rows = []
    for word in sys.argv[1:]:  # such as fp32:90
        logits, capability = word.split(':')
        found = compile_for(int(capability), logits)
        rows += [{**row, 'asm': sorted(row['asm']), 'for': word} for row in found]
    json.dump(rows, sys.stdout)
