"""Which tests run each command and each piece of code of the pages, and what others would need."""

# Why a command is not run as it stands
DATA = 'public data sets and days on GPUs'
NETWORK = 'a network'
SETUP = 'a whole environment; .ci/run runs make setup, lint and test'
HOURS = 'minutes to hours; run with tiny images, nets or schedules'
FILES = "a reader's own files; run with those that the test makes"
ITSELF = 'would start this test suite in itself, or change the checkout'
DEVICES = 'GPUs, or a Ray cluster'

DOCS = 'tests/test_docs_pages.py::'
RUNS = 'tests/test_documented_runs.py::'
HERE = 'tests/test_documented_commands.py::'
TOOLS = 'tests/tools/test_'
SEGMENTATION = 'tests/segmentation/test_'
SEARCH = 'tests/segmentation/search/test_search_report.py::'

SET_UP = [
    'tests/test_setup_env.py::test_finished_environment_goes_straight_to_the_command',
    HERE + 'test_make_starts_what_the_pages_say',
]
FIRST_STEPS = TOOLS + 'get_started_page.py::test_every_command_runs_and_leaves_what_the_page_names'
NO_COCO = TOOLS + 'coco_configs.py::test_missing_coco_is_told_in_one_line'
EVALUATION = TOOLS + 'test.py::test_same_figures_as_at_the_end_of_training'
SUBMISSION = TOOLS + 'test.py::test_submission_holds_one_file_named_as_the_server_asks'
PROCESSES = TOOLS + 'alrp_training.py::test_two_cpu_processes_share_an_epoch'
STARTERS = TOOLS + 'train.py::test_wrong_use_of_the_starters'
CALIBRATES = TOOLS + 'calibrate.py::test_maps_thresholds_and_errors_by_hand'
CALIBRATES_RUN = TOOLS + 'calibrate.py::test_json_files_give_the_maps_of_config_and_checkpoint'
CALIBRATED = TOOLS + 'calibrate.py::test_tool_maps_scores_and_keeps_ap_and_olrp'
CALIBRATION = 'tests/evaluation/test_calibration_errors.py::test_tool_prints_writes_and_draws'
CALIBRATED_ROWS = (
    TOOLS + 'calibration_benchmark.py::test_table_has_a_line_before_and_after_with_mean_and_spread'
)
THRESHOLDS = TOOLS + 'score_thresholds.py::test_tool_drops_and_draws'
CELLS = RUNS + 'test_commands_for_blood_cells_train'
SALIENCY = RUNS + 'test_saliency_is_tested_and_drawn_as_on_the_page'
SEMANTIC = SEGMENTATION + 'small_runs.py::test_trains_resumes_and_tests_with_pictures'
EVERY_LOSS = SEGMENTATION + 'small_runs.py::test_loss_of_the_name_reaches_every_weight'
OTHER_LOSS = SEGMENTATION + 'small_runs.py::test_another_loss_from_the_command_line'
SEARCHES = TOOLS + 'search_loss.py::test_search_shows_progress_and_leaves_everything'
RESUMES = TOOLS + 'search_loss.py::test_killed_search_resumes_to_the_same_result'
RANDOM = TOOLS + 'search_loss.py::test_random_search_keeps_the_number_of_samples_only'
DRY_RUN = TOOLS + 'search_loss.py::test_dry_run_says_the_cost_and_leaves_nothing'
SEEDS = TOOLS + 'search_loss.py::test_work_dir_says_algorithm_and_seed_where_they_are_given'
COMPARES = SEARCH + 'test_plot_search_compares_algorithms_over_seeds'
FOUND = RUNS + 'test_searched_loss_trains_from_its_file'
RAY = 'tests/segmentation/search/test_executors.py::test_ray_gives_the_rewards_of_local_processes'
STEP_TIMES = TOOLS + 'training_step_benchmark.py::test_table_and_json'
MASK_TIMES = TOOLS + 'segmentation_losses_benchmark.py::test_table_and_json'
OPERATOR_TIMES = TOOLS + 'operators_benchmark.py::test_table_and_json'
BOX_FIGURES = TOOLS + 'eval_lrp.py::test_backends_write_the_same_file'
MASK_FIGURES = TOOLS + 'eval_lrp.py::test_tau_and_masks'
ON_PAGE = DOCS + 'test_commands_of_the_evaluation_page_run'
DRAWS = TOOLS + 'make_shapes.py::test_command_draws_the_set_and_does_nothing_the_second_time'
HARD = TOOLS + 'make_shapes.py::test_hard_scenes_are_those_that_measured_results_were_trained_on'
REPORT = 'tests/test_compatibility.py::test_report_of_this_environment'
OPERATORS = 'tests/operators/test_installation.py::test_operators_are_put_in_and_taken_out'
SITE = 'tests/test_docs_site.py::test_every_page_is_built_and_reachable'
MIM = 'tests/test_packaging.py::test_mim_finds_every_config_of_the_wheel_by_its_name'
EDITABLE = 'tests/test_packaging.py::test_editable_install_links_to_the_sources'
PROJECT = 'tests/test_foreign_project.py::'
STOCK = PROJECT + 'test_project_trains_with_the_stock_tool_and_the_installed_wheel'
HOOKS = 'tests/test_repository_files.py::test_pre_commit_runs_the_pinned_ruff'
DEMO = TOOLS + 'demo.py::test_demo_trains_both_draws_them_and_reuses'
TWO = TOOLS + 'alrp_training.py::test_two_processes_share_one_ratio'
VIEWS = TOOLS + 'test.py::test_test_time_augmentation_changes_the_predictions'
FOCAL = RUNS + 'test_focal_loss_trains_too'
BOTH = RUNS + 'test_starter_tests_in_two_processes'

BOUNDS = TOOLS + 'correlation_bounds.py::test_table_and_file_by_hand'
ALL_BOUNDS = TOOLS + 'correlation_bounds.py::test_tau_moves_the_localisation_error_alone'
BALANCE = TOOLS + 'balance.py::test_from_the_shell'
ABLATION = TOOLS + 'ablation.py::test_from_the_shell'
PICTURES = TOOLS + 'demo.py::test_pictures_show_what_reaches_its_class_threshold'
CONVERTS = TOOLS + 'convert_published.py::test_every_published_weight_arrives_in_the_model'
CURVES = 'tests/evaluation/test_plot_pr.py::test_tool_writes_a_png_and_says_the_means'
SIDE_BY_SIDE = (
    'tests/evaluation/test_compare_detections.py::'
    'test_tool_writes_what_each_detector_finds_invents_and_misses'
)
WEIGHTS = 'tests/ranking/test_draw_weights.py::test_tool_writes_a_png_or_says_in_one_line_why_not'
DRAWING = DOCS + 'test_drawing_is_of_the_example_on_the_page'
EXAMPLE = 'tests/examples/test_torchvision_example.py::test_both_losses_train_and_are_judged'
RANKING_TIMES = 'tests/ranking/test_benchmark.py::test_table_and_json'
GLOBAL_TIMES = 'tests/ranking/test_global_benchmark.py::test_table_and_json'
GPU_CHECK = 'tests/ranking/test_gpu_check.py::test_in_small'
EVALUATION_TIMES = 'tests/evaluation/test_evaluation_benchmark.py::test_table_and_json'
KIN = 'tests/models/dense_heads/test_kin_heads.py::'
OWN_DETR = (
    'tests/models/dense_heads/test_ranking_detr_heads.py::'
    'test_documented_config_trains_the_documented_head'
)

# A command (without `python` and `bash`) is as the first pattern that fits all of it. Then: the
# tests that run it, and unless they run it as it stands, what it needs.
SHAPES_R18 = r'configs/\w+_retinanet_r18_shapes\.py'
SMALL_MASKS = r'configs/segmentation/\w+_r18_(shapes|camvid)\.py'
OF_MIOU = r'tools/search_loss\.py configs/segmentation/search/miou_shapes\.py'
COMMANDS = [
    (r'make (setup|test|lint)( (VENV|PYTHON|OPERATORS)=\S+)*', SET_UP, SETUP),
    (r'make demo', [*SET_UP, DEMO], HOURS),
    (r'-m mmdet_alrp', [REPORT], ''),
    (r'-m mmdet_alrp operators( --remove)?', [OPERATORS], ''),
    (r'source \.venv/bin/activate', [], SETUP),
    (r'pip install -e \.', [EDITABLE], ''),
    (r'pip install( \S+)+', [], NETWORK),
    (r'pip uninstall torchvision', [], ITSELF),
    (r'mim install( \w+==[\d.]+)+', [], NETWORK),
    (r'mim train mmdet my_alrp_retinanet\.py', [STOCK], 'mim, which starts the tool that is run'),
    (r'mim (run|search|test|train) mmdet_alrp .*', [MIM], 'mim, which starts the tools'),
    (r'pre-commit install', [HOOKS], NETWORK),
    (r'(\.venv/bin/)?mkdocs build --strict', [SITE], ''),
    (r'\.venv/bin/python -m pytest tests/\w+ -x', [], ITSELF),
    (r'\.venv/bin/ruff (check --fix|format) \.', [], ITSELF + '; make lint checks the same'),
    # Detection
    (rf'tools/train\.py {SHAPES_R18} --amp', [FIRST_STEPS, FOCAL], HOURS),
    (r'tools/train\.py configs/\w+_bccd\.py --amp( --cfg-options .*)?', [CELLS], HOURS),
    (r'tools/train\.py configs/\w+_r50_500\.py', [NO_COCO], DATA),
    (r'tools/train\.py CONFIG --amp', [FIRST_STEPS], FILES),
    (r'tools/train\.py CONFIG --auto-scale-lr', [PROCESSES], FILES),
    (r'tools/train\.py CONFIG --cfg-options .*scope=global', [TWO], FILES),
    (r'tools/dist_train\.sh \S+ (\d+|GPUS)', [PROCESSES, STARTERS], DATA),
    (r'tools/dist_test\.sh \S+ \S+ \d+', [BOTH, STARTERS], DATA),
    (rf'tools/test\.py {SHAPES_R18} \S+ --(cfg-options|score-thr) .*', [FIRST_STEPS], HOURS),
    (r'tools/test\.py configs/\w+_r50_500\.py \S+', [EVALUATION], DATA),
    (r'tools/test\.py CONFIG CHECKPOINT --submission .*', [SUBMISSION], DATA),
    (r'tools/test\.py CONFIG CHECKPOINT --score-thr .*', [THRESHOLDS], FILES),
    (r'tools/test\.py CONFIG CHECKPOINT --calibration .*', [CALIBRATED], FILES),
    (r'tools/test\.py CONFIG CHECKPOINT --tta', [VIEWS], FILES),
    (r'tools/test\.py CONFIG CHECKPOINT --cfg-options .*', [FIRST_STEPS, EVALUATION], FILES),
    # Segmentation
    (rf'tools/train\.py {SMALL_MASKS}( --amp)?', [SEMANTIC, EVERY_LOSS], HOURS),
    (rf'tools/train\.py {SMALL_MASKS}.* --cfg-options \S+theta=\S+( \S+=BF1)?', [FOUND], HOURS),
    (r'tools/train\.py configs/segmentation/ce_\w+_voc\.py --cfg-options .*', [OTHER_LOSS], DATA),
    (r'tools/test\.py configs/segmentation/\w+_r18_saliency\.py .*', [SALIENCY], HOURS),
    (r'tools/test\.py configs/segmentation/\w+_duts\.py .*', [SALIENCY], DATA),
    (r'-c \nfrom mmdet_alrp\.segmentation\.evaluation\.sod_curves [^;]*', [SALIENCY], ''),
    (r'tools/analysis/draw_masks\.py .*', [SALIENCY], ''),
    # Search
    (rf'{OF_MIOU}', [SEARCHES], HOURS),
    (rf'{OF_MIOU} --dry-run', [DRY_RUN], HOURS),
    (rf'{OF_MIOU}( --seed \d)?( --algorithm random)?', [SEEDS, RANDOM], HOURS),
    (rf'{OF_MIOU} --resume( --compare \S+)?', [RESUMES, COMPARES], HOURS),
    (r'tools/search_loss\.py \S+_voc\.py --cfg-options search\.executor=.*ray.*', [RAY], DEVICES),
    (r'tools/analysis/plot_search\.py( work_dirs/\w+)+ --out \w+\.png', [COMPARES], FILES),
    # Data, evaluation, drawings
    (r'tools/make_shapes\.py --help', [HERE + 'test_help_is_given'], ''),
    (r'tools/make_shapes\.py data/shapes --train \d+ --val \d+', [FIRST_STEPS, DRAWS], HOURS),
    (r'tools/make_shapes\.py data/shapes( --scenes hard)?', [HARD, DRAWS], HOURS),
    (r'tools/make_shapes\.py \S+ --kind (semantic|saliency)( --scenes hard)?', [SALIENCY], HOURS),
    (r'tools/eval_lrp\.py truth\.json detections\.json.*', [ON_PAGE], ''),
    (r'tools/eval_lrp\.py GROUND_TRUTH.* --calibration .*', [CALIBRATION], FILES),
    (r'tools/calibrate\.py GROUND_TRUTH.*', [CALIBRATES], FILES),
    (r'tools/calibrate\.py CONFIG CHECKPOINT .*', [CALIBRATES_RUN], FILES),
    (r'tools/calibrate\.py data/demo/val\.json work_dirs/demo/.*', [DEMO], HOURS),
    (r'tools/eval_lrp\.py GROUND_TRUTH.* --iou-type bbox .*', [ON_PAGE, BOX_FIGURES], FILES),
    (r'tools/eval_lrp\.py GROUND_TRUTH.* --iou-type segm .*', [MASK_FIGURES], FILES),
    (r'tools/eval_lrp\.py \S+ work_dirs/val\.bbox\.json .*', [FIRST_STEPS], FILES),
    (r'tools/analysis/correlation_bounds\.py truth\.json detections\.json', [ON_PAGE], ''),
    (r'tools/analysis/correlation_bounds\.py GROUND_TRUTH.*', [BOUNDS, ALL_BOUNDS], FILES),
    (r'tools/analysis/balance\.py (WORK_DIR_OR_LOG|(\S+/seed0 ?)+) --out \S+', [BALANCE], FILES),
    (r'tools/analysis/draw_detections\.py .* --thresholds \S+', [PICTURES], FILES),
    (r'tools/convert_published\.py IN\.pth OUT\.pth --config \S+', [CONVERTS], NETWORK),
    (r'tools/analysis/plot_pr\.py --ann .*', [CURVES], FILES),
    (r'tools/analysis/compare_detections\.py --ann .*', [SIDE_BY_SIDE], FILES),
    (r'tools/documentation/draw_breakpoints\.py', [DRAWING], ''),
    (r'tools/documentation/draw_weights\.py', [WEIGHTS], ''),
    # What things cost
    (r'tools/benchmarks/ranking_losses\.py .*', [RANKING_TIMES], HOURS),
    (r'tools/benchmarks/calibration\.py .*', [CALIBRATED_ROWS], HOURS),
    (r'tools/benchmarks/ablation\.py --data (shapes|bccd) .*', [ABLATION], HOURS),
    (r'examples/torchvision_retinanet\.py .*', [EXAMPLE], HOURS),
    (r'tools/benchmarks/training_step\.py .*--device cuda.*', [STEP_TIMES], DEVICES),
    (r'tools/benchmarks/training_step\.py .*', [STEP_TIMES], HOURS),
    (r'tools/benchmarks/evaluation\.py .*', [EVALUATION_TIMES], HOURS),
    (r'tools/benchmarks/segmentation_losses\.py .*', [MASK_TIMES], HOURS),
    (r'tools/benchmarks/global_ranking\.py .*', [GLOBAL_TIMES], HOURS),
    (r'tools/benchmarks/gpu_check\.py', [GPU_CHECK], DEVICES),
    (r'tools/benchmarks/operators\.py .*', [OPERATOR_TIMES], HOURS),
]

# How many Python blocks a page has, and the tests that run them
CODE = {
    'README.md': (2, [RUNS + 'test_code_of_the_readme_runs']),
    'docs/calibration.md': (3, [RUNS + 'test_calibration_as_on_the_page']),
    'docs/deployment.md': (
        4,
        [RUNS + 'test_thresholds_as_on_the_page', RUNS + 'test_export_of_the_page_runs'],
    ),
    'docs/evaluation.md': (
        2,
        [
            DOCS + 'test_class_by_hand_is_judged_as_the_page_says',
            DOCS + 'test_config_of_the_evaluation_page_builds',
        ],
    ),
    'docs/how_it_works.md': (3, [DOCS + 'test_toy_example_has_the_numbers_of_the_page']),
    'docs/index.md': (2, [DOCS + 'test_index_runs']),
    'docs/losses.md': (3, ['tests/test_docs_code.py::test_code_of_the_losses_page_runs']),
    'docs/own_head.md': (3, [KIN + 'test_documented_config_trains_the_documented_head', OWN_DETR]),
    'docs/own_loss.md': (3, [DOCS + 'test_own_loss_agrees_with_its_loops_and_trains_a_head']),
    'docs/plain_pytorch.md': (
        3,
        [
            'tests/examples/test_plain_pytorch_page.py::test_first_blocks_run_as_one_program',
            'tests/examples/test_plain_pytorch_page.py::test_the_detector_learns_two_images',
        ],
    ),
    'docs/reliability.md': (1, [RUNS + 'test_hooks_of_the_reliability_page_are_built']),
    'docs/search.md': (2, [SEARCH + 'test_commands_and_settings_of_the_page_are_there']),
    'docs/segmentation.md': (
        7,
        [
            SEGMENTATION + 'segmentation_page.py::test_code_runs_in_its_order',
            SEGMENTATION + 'segmentation_page.py::test_the_mask_head_of_the_page_trains',
            SEGMENTATION + 'segmentation_page.py::test_configs_on_the_page_load_and_name_losses',
        ],
    ),
    'docs/your_project.md': (
        7,
        [STOCK, PROJECT + 'test_switched_configs_build'],
    ),
}
