-- A sample for the fleet tools: models, the devices that they run on, and what is deployed where.

CREATE TABLE models (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    family TEXT NOT NULL,
    framework TEXT NOT NULL,
    parameters_b REAL NOT NULL,
    quantisation TEXT NOT NULL,
    size_mb INTEGER NOT NULL CHECK (size_mb > 0),
    min_memory_mb INTEGER NOT NULL CHECK (min_memory_mb > 0),
    context_tokens INTEGER NOT NULL,
    license TEXT NOT NULL,
    tools INTEGER NOT NULL CHECK (tools IN (0, 1))
) STRICT;

CREATE TABLE device_groups (
    name TEXT NOT NULL PRIMARY KEY,
    description TEXT NOT NULL
) STRICT;

CREATE TABLE devices (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    platform TEXT NOT NULL,
    os_version TEXT NOT NULL,
    memory_mb INTEGER NOT NULL,
    accelerators TEXT NOT NULL,
    device_group TEXT NOT NULL REFERENCES device_groups (name),
    last_seen_at TEXT NOT NULL
) STRICT;

CREATE INDEX devices_group ON devices (device_group);

CREATE TABLE deployments (
    id TEXT NOT NULL PRIMARY KEY DEFAULT ('dep-' || lower(hex(randomblob(4)))),
    model_id TEXT NOT NULL REFERENCES models (id),
    device_group TEXT NOT NULL REFERENCES device_groups (name),
    environment TEXT NOT NULL CHECK (environment IN ('production', 'staging', 'development')),
    channel TEXT NOT NULL CHECK (channel IN ('stable', 'beta', 'canary')),
    percent INTEGER NOT NULL CHECK (percent BETWEEN 0 AND 100),
    status TEXT NOT NULL CHECK (status IN ('rolling_out', 'active', 'paused', 'failed')),
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))
) STRICT;

CREATE INDEX deployments_model ON deployments (model_id);

INSERT INTO models VALUES
    ('qwen2.5-0.5b', 'qwen2.5:0.5b', 'qwen2.5', 'gguf', 0.5, 'q4_k_m', 398, 1024, 32768, 'Apache-2.0', 1),
    ('qwen2.5-1.5b', 'qwen2.5:1.5b', 'qwen2.5', 'gguf', 1.5, 'q4_k_m', 986, 2048, 32768, 'Apache-2.0', 1),
    ('qwen2.5-7b', 'qwen2.5:7b', 'qwen2.5', 'gguf', 7.6, 'q4_k_m', 4683, 8192, 131072, 'Apache-2.0', 1),
    ('phi-4-mini', 'phi-4-mini', 'phi-4', 'onnx', 3.8, 'int4', 2490, 4096, 131072, 'MIT', 1),
    ('gemma-3-1b', 'gemma-3-1b', 'gemma-3', 'litert', 1.0, 'int4', 555, 1536, 32768, 'Gemma', 0),
    ('gemma-3-4b', 'gemma-3-4b', 'gemma-3', 'gguf', 4.3, 'q4_0', 3338, 6144, 131072, 'Gemma', 0),
    ('llama-3.2-1b', 'llama-3.2-1b', 'llama-3.2', 'executorch', 1.2, 'spinquant-int4', 1083, 2048, 131072, 'Llama 3.2 Community', 0),
    ('llama-3.2-3b', 'llama-3.2-3b', 'llama-3.2', 'mlx', 3.2, '4bit', 1807, 4096, 131072, 'Llama 3.2 Community', 1),
    ('mistral-7b', 'mistral-7b', 'mistral', 'gguf', 7.2, 'q4_k_m', 4372, 8192, 32768, 'Apache-2.0', 1),
    ('smollm2-360m', 'smollm2-360m', 'smollm2', 'coreml', 0.36, 'int8', 386, 768, 8192, 'Apache-2.0', 0);

INSERT INTO device_groups VALUES
    ('field-phones', 'Phones of the field technicians'),
    ('sales-tablets', 'Tablets of the sales team'),
    ('office-laptops', 'Laptops in the offices'),
    ('store-edge', 'Edge boxes in the shops'),
    ('lab', 'Machines of the lab, for trials');

INSERT INTO devices VALUES
    ('dev-001', 'Pixel 9 Pro 01', 'android', '16', 16384, '["gpu","npu"]', 'field-phones', '2026-11-20T08:14:02Z'),
    ('dev-002', 'Pixel 8a 07', 'android', '15', 8192, '["gpu"]', 'field-phones', '2026-11-20T08:02:47Z'),
    ('dev-003', 'Galaxy S24 12', 'android', '15', 8192, '["gpu","npu"]', 'field-phones', '2026-11-19T17:40:11Z'),
    ('dev-004', 'iPhone 16 Pro 03', 'ios', '26.1', 8192, '["gpu","ane"]', 'field-phones', '2026-11-20T08:20:30Z'),
    ('dev-005', 'iPhone 13 21', 'ios', '18.7', 4096, '["gpu","ane"]', 'field-phones', '2026-11-18T12:05:55Z'),
    ('dev-006', 'iPad Pro M4 02', 'ios', '26.1', 16384, '["gpu","ane"]', 'sales-tablets', '2026-11-20T07:58:19Z'),
    ('dev-007', 'Galaxy Tab S9 04', 'android', '15', 12288, '["gpu","npu"]', 'sales-tablets', '2026-11-20T06:31:44Z'),
    ('dev-008', 'MacBook Pro M4 11', 'macos', '26.1', 36864, '["gpu","ane"]', 'office-laptops', '2026-11-20T08:21:00Z'),
    ('dev-009', 'MacBook Air M2 05', 'macos', '15.7', 16384, '["gpu","ane"]', 'office-laptops', '2026-11-20T08:19:12Z'),
    ('dev-010', 'ThinkPad T14s 33', 'windows', '11', 32768, '["gpu","npu"]', 'office-laptops', '2026-11-20T08:11:37Z'),
    ('dev-011', 'Jetson Orin Nano 01', 'linux', '22.04', 8192, '["cuda"]', 'store-edge', '2026-11-20T08:21:09Z'),
    ('dev-012', 'Jetson Orin NX 02', 'linux', '22.04', 16384, '["cuda"]', 'store-edge', '2026-11-20T08:21:05Z'),
    ('dev-013', 'Raspberry Pi 5 09', 'linux', '13', 8192, '[]', 'store-edge', '2026-11-20T08:20:58Z'),
    ('dev-014', 'RTX 4090 workstation', 'linux', '24.04', 131072, '["cuda"]', 'lab', '2026-11-20T08:21:11Z');

INSERT INTO deployments (id, model_id, device_group, environment, channel, percent, status, created_at) VALUES
    ('dep-1001', 'qwen2.5-1.5b', 'field-phones', 'production', 'stable', 100, 'active', '2026-09-02T09:00:00Z'),
    ('dep-1002', 'gemma-3-1b', 'field-phones', 'production', 'canary', 10, 'rolling_out', '2026-11-17T14:30:00Z'),
    ('dep-1003', 'llama-3.2-3b', 'sales-tablets', 'production', 'stable', 100, 'active', '2026-08-11T10:15:00Z'),
    ('dep-1004', 'phi-4-mini', 'office-laptops', 'production', 'beta', 25, 'rolling_out', '2026-11-12T08:45:00Z'),
    ('dep-1005', 'qwen2.5-7b', 'store-edge', 'staging', 'beta', 50, 'paused', '2026-10-29T16:20:00Z'),
    ('dep-1006', 'mistral-7b', 'lab', 'development', 'canary', 100, 'active', '2026-10-05T11:05:00Z'),
    ('dep-1007', 'gemma-3-4b', 'store-edge', 'staging', 'canary', 20, 'failed', '2026-11-03T13:10:00Z');
