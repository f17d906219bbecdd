import pytest

from mmdet_alrp.engine.bfloat16 import cpu_has_bfloat16


@pytest.mark.parametrize(
    ('line', 'expected'),
    [
        ('flags : fpu sse2 avx512_bf16 amx_tile', True),
        ('flags : fpu sse2 amx_bf16', True),
        ('Features : fp asimd bf16', True),
        ('flags : fpu sse2 avx512f', False),
    ],
)
def test_instructions_for_bfloat16_are_read_from_cpuinfo(tmp_path, line, expected):
    cpuinfo = tmp_path / 'cpuinfo'
    cpuinfo.write_text(f'processor : 0\n{line}\n')
    assert cpu_has_bfloat16(cpuinfo) is expected


def test_a_system_without_cpuinfo_counts_as_without(tmp_path):
    assert not cpu_has_bfloat16(tmp_path / 'missing')
