CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO alembic_version VALUES ('dc11669786a5');
CREATE TABLE "experiments" (
	experiment_id INTEGER NOT NULL, 
	name VARCHAR(256) NOT NULL, 
	artifact_location VARCHAR(256), 
	lifecycle_stage VARCHAR(32), 
	creation_time BIGINT, 
	last_update_time BIGINT, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT experiment_pk PRIMARY KEY (experiment_id), 
	CONSTRAINT experiments_lifecycle_stage CHECK (lifecycle_stage IN ('active', 'deleted')), 
	CONSTRAINT uq_experiments_workspace_name UNIQUE (workspace, name)
);
INSERT INTO experiments VALUES (0, 'Default', '/srv/mlflow/store/beside/mlruns/0', 'active', 1795712439532, 1795712439532, 'default');
INSERT INTO experiments VALUES (1, 'prices/weekly: été', '/srv/mlflow/store/beside/mlruns/1', 'active', 1795712439534, 1795712439534, 'default');
INSERT INTO experiments VALUES (2, 'gone', '/srv/mlflow/store/beside/mlruns/2', 'deleted', 1795712439541, 1795712439633, 'default');
CREATE TABLE "experiment_tags" (
	"key" VARCHAR(250) NOT NULL, 
	value TEXT, 
	experiment_id INTEGER NOT NULL, 
	CONSTRAINT experiment_tag_pk PRIMARY KEY ("key", experiment_id), 
	FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id)
);
INSERT INTO experiment_tags VALUES ('team', 'retail', 1);
INSERT INTO experiment_tags VALUES ('mlflow.note.content', 'What prices do.', 1);
CREATE TABLE "runs" (
	run_uuid VARCHAR(32) NOT NULL, 
	name VARCHAR(250), 
	source_type VARCHAR(20), 
	source_name VARCHAR(500), 
	entry_point_name VARCHAR(50), 
	user_id VARCHAR(256), 
	status VARCHAR(9), 
	start_time BIGINT, 
	end_time BIGINT, 
	source_version VARCHAR(50), 
	lifecycle_stage VARCHAR(20), 
	artifact_uri VARCHAR(200), 
	experiment_id INTEGER, deleted_time BIGINT, 
	CONSTRAINT run_pk PRIMARY KEY (run_uuid), 
	CONSTRAINT source_type CHECK (source_type IN ('NOTEBOOK', 'JOB', 'LOCAL', 'UNKNOWN', 'PROJECT')), 
	CONSTRAINT runs_lifecycle_stage CHECK (lifecycle_stage IN ('active', 'deleted')), 
	FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id), 
	CHECK (status IN ('SCHEDULED', 'FAILED', 'FINISHED', 'RUNNING', 'KILLED'))
);
INSERT INTO runs VALUES ('5a35936fba5f4a6bb476f5f662890354', 'grid', 'UNKNOWN', '', '', 'ada', 'FINISHED', 1700000000000, 1700000005000, '', 'active', '/srv/mlflow/store/beside/mlruns/1/5a35936fba5f4a6bb476f5f662890354/artifacts', 1, NULL);
INSERT INTO runs VALUES ('ea53ee2ce84f429e8dd72531118fc332', 'child', 'UNKNOWN', '', '', 'unknown', 'FAILED', 1700000000010, 1700000000040, '', 'active', '/srv/mlflow/store/beside/mlruns/1/ea53ee2ce84f429e8dd72531118fc332/artifacts', 1, NULL);
INSERT INTO runs VALUES ('0bb8bdfbe43249479f8c25616904fcfb', 'killed', 'UNKNOWN', '', '', 'unknown', 'KILLED', 1700000000050, 1700000000060, '', 'active', '/srv/mlflow/store/beside/mlruns/1/0bb8bdfbe43249479f8c25616904fcfb/artifacts', 1, NULL);
INSERT INTO runs VALUES ('ec6e0ba93fc94378929d0ad9483fa32e', 'still running', 'UNKNOWN', '', '', 'unknown', 'RUNNING', 1700000000070, NULL, '', 'active', '/srv/mlflow/store/beside/mlruns/1/ec6e0ba93fc94378929d0ad9483fa32e/artifacts', 1, NULL);
INSERT INTO runs VALUES ('7a292efed90649249c37062c8496c94b', 'deleted', 'UNKNOWN', '', '', 'unknown', 'RUNNING', 1700000000080, NULL, '', 'deleted', '/srv/mlflow/store/beside/mlruns/1/7a292efed90649249c37062c8496c94b/artifacts', 1, 1795712439627);
INSERT INTO runs VALUES ('713bf227fa974ec9bee4e996761b4e7c', 'in gone', 'UNKNOWN', '', '', 'unknown', 'RUNNING', 1700000000090, NULL, '', 'deleted', '/srv/mlflow/store/beside/mlruns/2/713bf227fa974ec9bee4e996761b4e7c/artifacts', 2, 1795712439635);
INSERT INTO runs VALUES ('1d86ad4026214dd49609c676e1de6f18', 'in default', 'UNKNOWN', '', '', 'unknown', 'FINISHED', 1700000000095, 1700000000099, '', 'active', '/srv/mlflow/store/beside/mlruns/0/1d86ad4026214dd49609c676e1de6f18/artifacts', 0, NULL);
CREATE TABLE "params" (
	"key" VARCHAR(250) NOT NULL, 
	value VARCHAR(8000) NOT NULL, 
	run_uuid VARCHAR(32) NOT NULL, 
	CONSTRAINT param_pk PRIMARY KEY ("key", run_uuid), 
	FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid)
);
INSERT INTO params VALUES ('lr', '0.1', '5a35936fba5f4a6bb476f5f662890354');
INSERT INTO params VALUES ('deep/name with space', 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx', '5a35936fba5f4a6bb476f5f662890354');
INSERT INTO params VALUES ('empty', '', '5a35936fba5f4a6bb476f5f662890354');
CREATE TABLE "tags" (
	"key" VARCHAR(250) NOT NULL, 
	value VARCHAR(8000), 
	run_uuid VARCHAR(32) NOT NULL, 
	CONSTRAINT tag_pk PRIMARY KEY ("key", run_uuid), 
	FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid)
);
INSERT INTO tags VALUES ('mlflow.user', 'ada', '5a35936fba5f4a6bb476f5f662890354');
INSERT INTO tags VALUES ('mlflow.runName', 'grid', '5a35936fba5f4a6bb476f5f662890354');
INSERT INTO tags VALUES ('mlflow.source.git.commit', '0123456789abcdef0123456789abcdef01234567', '5a35936fba5f4a6bb476f5f662890354');
INSERT INTO tags VALUES ('note', 'two
lines', '5a35936fba5f4a6bb476f5f662890354');
INSERT INTO tags VALUES ('mlflow.parentRunId', '5a35936fba5f4a6bb476f5f662890354', 'ea53ee2ce84f429e8dd72531118fc332');
INSERT INTO tags VALUES ('mlflow.runName', 'child', 'ea53ee2ce84f429e8dd72531118fc332');
INSERT INTO tags VALUES ('mlflow.runName', 'killed', '0bb8bdfbe43249479f8c25616904fcfb');
INSERT INTO tags VALUES ('mlflow.runName', 'still running', 'ec6e0ba93fc94378929d0ad9483fa32e');
INSERT INTO tags VALUES ('mlflow.runName', 'deleted', '7a292efed90649249c37062c8496c94b');
INSERT INTO tags VALUES ('mlflow.runName', 'in gone', '713bf227fa974ec9bee4e996761b4e7c');
INSERT INTO tags VALUES ('mlflow.runName', 'in default', '1d86ad4026214dd49609c676e1de6f18');
CREATE TABLE "metrics" (
	"key" VARCHAR(250) NOT NULL, 
	value FLOAT NOT NULL, 
	timestamp BIGINT NOT NULL, 
	run_uuid VARCHAR(32) NOT NULL, 
	step BIGINT DEFAULT '0' NOT NULL, 
	is_nan BOOLEAN DEFAULT '0' NOT NULL, 
	CONSTRAINT metric_pk PRIMARY KEY ("key", timestamp, step, run_uuid, value, is_nan), 
	FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid), 
	CHECK (is_nan IN (0, 1))
);
INSERT INTO metrics VALUES ('loss', 1.0, 1700000000000, '5a35936fba5f4a6bb476f5f662890354', 0, 0);
INSERT INTO metrics VALUES ('loss', 0.5, 1700000001000, '5a35936fba5f4a6bb476f5f662890354', 1, 0);
INSERT INTO metrics VALUES ('loss', 3.33333333333333314829e-01, 1700000002000, '5a35936fba5f4a6bb476f5f662890354', 2, 0);
INSERT INTO metrics VALUES ('loss', 0.25, 1700000003000, '5a35936fba5f4a6bb476f5f662890354', 3, 0);
INSERT INTO metrics VALUES ('loss', 0.2, 1700000004000, '5a35936fba5f4a6bb476f5f662890354', 4, 0);
INSERT INTO metrics VALUES ('loss', 1.66666666666666657414e-01, 1700000005000, '5a35936fba5f4a6bb476f5f662890354', 5, 0);
INSERT INTO metrics VALUES ('loss', 1.42857142857142849212e-01, 1700000006000, '5a35936fba5f4a6bb476f5f662890354', 6, 0);
INSERT INTO metrics VALUES ('loss', 0.125, 1700000007000, '5a35936fba5f4a6bb476f5f662890354', 7, 0);
INSERT INTO metrics VALUES ('loss', 1.11111111111111104943e-01, 1700000008000, '5a35936fba5f4a6bb476f5f662890354', 8, 0);
INSERT INTO metrics VALUES ('loss', 0.1, 1700000009000, '5a35936fba5f4a6bb476f5f662890354', 9, 0);
INSERT INTO metrics VALUES ('loss', 9.09090909090909116141e-02, 1700000010000, '5a35936fba5f4a6bb476f5f662890354', 10, 0);
INSERT INTO metrics VALUES ('loss', 8.33333333333333287074e-02, 1700000011000, '5a35936fba5f4a6bb476f5f662890354', 11, 0);
INSERT INTO metrics VALUES ('loss', 7.6923076923076927347e-02, 1700000012000, '5a35936fba5f4a6bb476f5f662890354', 12, 0);
INSERT INTO metrics VALUES ('loss', 7.14285714285714246063e-02, 1700000013000, '5a35936fba5f4a6bb476f5f662890354', 13, 0);
INSERT INTO metrics VALUES ('loss', 6.66666666666666657414e-02, 1700000014000, '5a35936fba5f4a6bb476f5f662890354', 14, 0);
INSERT INTO metrics VALUES ('loss', 0.0625, 1700000015000, '5a35936fba5f4a6bb476f5f662890354', 15, 0);
INSERT INTO metrics VALUES ('loss', 5.8823529411764705066e-02, 1700000016000, '5a35936fba5f4a6bb476f5f662890354', 16, 0);
INSERT INTO metrics VALUES ('loss', 5.55555555555555524716e-02, 1700000017000, '5a35936fba5f4a6bb476f5f662890354', 17, 0);
INSERT INTO metrics VALUES ('loss', 5.26315789473684181309e-02, 1700000018000, '5a35936fba5f4a6bb476f5f662890354', 18, 0);
INSERT INTO metrics VALUES ('loss', 0.05, 1700000019000, '5a35936fba5f4a6bb476f5f662890354', 19, 0);
INSERT INTO metrics VALUES ('loss', 4.76190476190476164042e-02, 1700000020000, '5a35936fba5f4a6bb476f5f662890354', 20, 0);
INSERT INTO metrics VALUES ('loss', 4.5454545454545455807e-02, 1700000021000, '5a35936fba5f4a6bb476f5f662890354', 21, 0);
INSERT INTO metrics VALUES ('loss', 4.34782608695652161845e-02, 1700000022000, '5a35936fba5f4a6bb476f5f662890354', 22, 0);
INSERT INTO metrics VALUES ('loss', 4.16666666666666643537e-02, 1700000023000, '5a35936fba5f4a6bb476f5f662890354', 23, 0);
INSERT INTO metrics VALUES ('loss', 0.04, 1700000024000, '5a35936fba5f4a6bb476f5f662890354', 24, 0);
INSERT INTO metrics VALUES ('odd/nan', 0.0, 1700000000000, '5a35936fba5f4a6bb476f5f662890354', 0, 1);
INSERT INTO metrics VALUES ('odd/inf', 1.79769313486231562234e+308, 1700000000000, '5a35936fba5f4a6bb476f5f662890354', 0, 0);
INSERT INTO metrics VALUES ('odd/inf', -1.79769313486231562234e+308, 1700000000005, '5a35936fba5f4a6bb476f5f662890354', 1, 0);
INSERT INTO metrics VALUES ('neg', -1.5, 1700000000000, '5a35936fba5f4a6bb476f5f662890354', -3, 0);
INSERT INTO metrics VALUES ('loss', 0.5, 1700000000020, 'ea53ee2ce84f429e8dd72531118fc332', 0, 0);
INSERT INTO metrics VALUES ('loss', 0.25, 1700000000030, 'ea53ee2ce84f429e8dd72531118fc332', 1, 0);
INSERT INTO metrics VALUES ('auc', 0.9, 1700000000100, '5a35936fba5f4a6bb476f5f662890354', 1, 0);
CREATE TABLE "latest_metrics" (
	"key" VARCHAR(250) NOT NULL, 
	value FLOAT NOT NULL, 
	timestamp BIGINT, 
	step BIGINT NOT NULL, 
	is_nan BOOLEAN NOT NULL, 
	run_uuid VARCHAR(32) NOT NULL, 
	CONSTRAINT latest_metric_pk PRIMARY KEY ("key", run_uuid), 
	FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid), 
	CHECK (is_nan IN (0, 1))
);
INSERT INTO latest_metrics VALUES ('loss', 0.04, 1700000024000, 24, 0, '5a35936fba5f4a6bb476f5f662890354');
INSERT INTO latest_metrics VALUES ('odd/nan', 0.0, 1700000000000, 0, 1, '5a35936fba5f4a6bb476f5f662890354');
INSERT INTO latest_metrics VALUES ('odd/inf', -1.79769313486231562234e+308, 1700000000005, 1, 0, '5a35936fba5f4a6bb476f5f662890354');
INSERT INTO latest_metrics VALUES ('neg', -1.5, 1700000000000, -3, 0, '5a35936fba5f4a6bb476f5f662890354');
INSERT INTO latest_metrics VALUES ('loss', 0.25, 1700000000030, 1, 0, 'ea53ee2ce84f429e8dd72531118fc332');
INSERT INTO latest_metrics VALUES ('auc', 0.9, 1700000000100, 1, 0, '5a35936fba5f4a6bb476f5f662890354');
CREATE TABLE "datasets" (
	dataset_uuid VARCHAR(36) NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	name VARCHAR(500) NOT NULL, 
	digest VARCHAR(36) NOT NULL, 
	dataset_source_type VARCHAR(36) NOT NULL, 
	dataset_source TEXT NOT NULL, 
	dataset_schema TEXT, 
	dataset_profile TEXT, 
	CONSTRAINT dataset_pk PRIMARY KEY (experiment_id, name, digest), 
	CONSTRAINT fk_datasets_experiment_id_experiments FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id) ON DELETE CASCADE
);
INSERT INTO datasets VALUES ('4a9d046df284429982b022ecb1d29262', 1, 'sales', 'abc123', 'local', '{"uri": "sales.csv"}', '{"mlflow_colspec": []}', '{"num_rows": 3}');
CREATE TABLE inputs (
	input_uuid VARCHAR(36) NOT NULL, 
	source_type VARCHAR(36) NOT NULL, 
	source_id VARCHAR(36) NOT NULL, 
	destination_type VARCHAR(36) NOT NULL, 
	destination_id VARCHAR(36) NOT NULL, step BIGINT DEFAULT '0' NOT NULL, 
	CONSTRAINT inputs_pk PRIMARY KEY (source_type, source_id, destination_type, destination_id)
);
INSERT INTO inputs VALUES ('b45fc103cf41483f82e8d07398ed9bd3', 'DATASET', '4a9d046df284429982b022ecb1d29262', 'RUN', '5a35936fba5f4a6bb476f5f662890354', 0);
INSERT INTO inputs VALUES ('9f079987c99744a891ebe96e18e74eb3', 'RUN_OUTPUT', '5a35936fba5f4a6bb476f5f662890354', 'MODEL_OUTPUT', 'm-975b033077834ea79fab7aec0a0c3cc8', 2);
INSERT INTO inputs VALUES ('540342682ca64592904ce1128193c631', 'RUN_INPUT', 'ea53ee2ce84f429e8dd72531118fc332', 'MODEL_INPUT', 'm-975b033077834ea79fab7aec0a0c3cc8', 0);
CREATE TABLE input_tags (
	input_uuid VARCHAR(36) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	value VARCHAR(500) NOT NULL, 
	CONSTRAINT input_tags_pk PRIMARY KEY (input_uuid, name)
);
INSERT INTO input_tags VALUES ('b45fc103cf41483f82e8d07398ed9bd3', 'mlflow.data.context', 'training');
CREATE TABLE logged_models (
	model_id VARCHAR(36) NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	name VARCHAR(500) NOT NULL, 
	artifact_location VARCHAR(1000) NOT NULL, 
	creation_timestamp_ms BIGINT NOT NULL, 
	last_updated_timestamp_ms BIGINT NOT NULL, 
	status INTEGER NOT NULL, 
	lifecycle_stage VARCHAR(32), 
	model_type VARCHAR(500), 
	source_run_id VARCHAR(32), 
	status_message VARCHAR(1000), 
	CONSTRAINT logged_models_pk PRIMARY KEY (model_id), 
	CONSTRAINT logged_models_lifecycle_stage_check CHECK (lifecycle_stage IN ('active', 'deleted')), 
	CONSTRAINT fk_logged_models_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id) ON DELETE CASCADE
);
INSERT INTO logged_models VALUES ('m-975b033077834ea79fab7aec0a0c3cc8', 1, 'booster', '/srv/mlflow/store/beside/mlruns/1/models/m-975b033077834ea79fab7aec0a0c3cc8/artifacts', 1795712439644, 1795712439655, 2, 'active', 'demo', '5a35936fba5f4a6bb476f5f662890354', NULL);
CREATE TABLE logged_model_params (
	model_id VARCHAR(36) NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	param_key VARCHAR(255) NOT NULL, 
	param_value TEXT NOT NULL, 
	CONSTRAINT logged_model_params_pk PRIMARY KEY (model_id, param_key), 
	CONSTRAINT fk_logged_model_params_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id), 
	CONSTRAINT fk_logged_model_params_model_id FOREIGN KEY(model_id) REFERENCES logged_models (model_id) ON DELETE CASCADE
);
INSERT INTO logged_model_params VALUES ('m-975b033077834ea79fab7aec0a0c3cc8', 1, 'depth', '3');
CREATE TABLE logged_model_tags (
	model_id VARCHAR(36) NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	tag_key VARCHAR(255) NOT NULL, 
	tag_value TEXT NOT NULL, 
	CONSTRAINT logged_model_tags_pk PRIMARY KEY (model_id, tag_key), 
	CONSTRAINT fk_logged_model_tags_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id), 
	CONSTRAINT fk_logged_model_tags_model_id FOREIGN KEY(model_id) REFERENCES logged_models (model_id) ON DELETE CASCADE
);
INSERT INTO logged_model_tags VALUES ('m-975b033077834ea79fab7aec0a0c3cc8', 1, 'stage', 'x');
CREATE TABLE logged_model_metrics (
	model_id VARCHAR(36) NOT NULL, 
	metric_name VARCHAR(500) NOT NULL, 
	metric_timestamp_ms BIGINT NOT NULL, 
	metric_step BIGINT NOT NULL, 
	metric_value FLOAT, 
	experiment_id INTEGER NOT NULL, 
	run_id VARCHAR(32) NOT NULL, 
	dataset_uuid VARCHAR(36), 
	dataset_name VARCHAR(500), 
	dataset_digest VARCHAR(36), 
	CONSTRAINT logged_model_metrics_pk PRIMARY KEY (model_id, metric_name, metric_timestamp_ms, metric_step, run_id), 
	CONSTRAINT fk_logged_model_metrics_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id), 
	CONSTRAINT fk_logged_model_metrics_model_id FOREIGN KEY(model_id) REFERENCES logged_models (model_id) ON DELETE CASCADE, 
	CONSTRAINT fk_logged_model_metrics_run_id FOREIGN KEY(run_id) REFERENCES runs (run_uuid) ON DELETE CASCADE
);
INSERT INTO logged_model_metrics VALUES ('m-975b033077834ea79fab7aec0a0c3cc8', 'auc', 1700000000100, 1, 0.9, 1, '5a35936fba5f4a6bb476f5f662890354', NULL, 'sales', 'abc123');
CREATE TABLE "registered_models" (
	name VARCHAR(256) NOT NULL, 
	creation_time BIGINT, 
	last_updated_time BIGINT, 
	description VARCHAR(5000), 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT registered_model_pk PRIMARY KEY (workspace, name)
);
INSERT INTO registered_models VALUES ('été price', 1795712439679, 1795712439733, 'Prices.', 'default');
INSERT INTO registered_models VALUES ('empty one', 1795712439735, 1795712439735, NULL, 'default');
INSERT INTO registered_models VALUES ('hello', 1795712439739, 1795712439743, NULL, 'default');
CREATE TABLE "registered_model_tags" (
	"key" VARCHAR(250) NOT NULL, 
	value VARCHAR(5000), 
	name VARCHAR(256) NOT NULL, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT registered_model_tag_pk PRIMARY KEY (workspace, "key", name), 
	CONSTRAINT fk_registered_model_tags_registered_models FOREIGN KEY(workspace, name) REFERENCES registered_models (workspace, name) ON UPDATE CASCADE
);
INSERT INTO registered_model_tags VALUES ('tier', 'gold', 'été price', 'default');
INSERT INTO registered_model_tags VALUES ('mlflow.prompt.is_prompt', 'true', 'hello', 'default');
CREATE TABLE "registered_model_aliases" (
	alias VARCHAR(256) NOT NULL, 
	version INTEGER NOT NULL, 
	name VARCHAR(256) NOT NULL, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT registered_model_alias_pk PRIMARY KEY (workspace, name, alias), 
	CONSTRAINT fk_registered_model_aliases_registered_models FOREIGN KEY(workspace, name) REFERENCES registered_models (workspace, name) ON DELETE CASCADE ON UPDATE CASCADE
);
INSERT INTO registered_model_aliases VALUES ('best', 1, 'été price', 'default');
INSERT INTO registered_model_aliases VALUES ('shadow', 4, 'été price', 'default');
CREATE TABLE "model_versions" (
	name VARCHAR(256) NOT NULL, 
	version INTEGER NOT NULL, 
	creation_time BIGINT, 
	last_updated_time BIGINT, 
	description VARCHAR(5000), 
	user_id VARCHAR(256), 
	current_stage VARCHAR(20), 
	source VARCHAR(500), 
	run_id VARCHAR(32), 
	status VARCHAR(20), 
	status_message VARCHAR(500), 
	run_link VARCHAR(500), 
	storage_location VARCHAR(500), 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT model_version_pk PRIMARY KEY (workspace, name, version), 
	CONSTRAINT fk_model_versions_registered_models FOREIGN KEY(workspace, name) REFERENCES registered_models (workspace, name) ON UPDATE CASCADE
);
INSERT INTO model_versions VALUES ('été price', 1, 1795712439684, 1795712439726, 'First.', NULL, 'Production', '/srv/mlflow/store/beside/mlruns/1/5a35936fba5f4a6bb476f5f662890354/artifacts/old_model', '5a35936fba5f4a6bb476f5f662890354', 'READY', NULL, NULL, '/srv/mlflow/store/beside/mlruns/1/5a35936fba5f4a6bb476f5f662890354/artifacts/old_model', 'default');
INSERT INTO model_versions VALUES ('été price', 2, 1795712439691, 1795712439733, NULL, NULL, 'Staging', 'models:/m-975b033077834ea79fab7aec0a0c3cc8', '5a35936fba5f4a6bb476f5f662890354', 'READY', NULL, NULL, '/srv/mlflow/store/beside/mlruns/1/models/m-975b033077834ea79fab7aec0a0c3cc8/artifacts', 'default');
INSERT INTO model_versions VALUES ('été price', 3, 1795712439694, 1795712439703, NULL, NULL, 'Deleted_Internal', 'REDACTED-SOURCE-PATH', 'REDACTED-RUN-ID', 'READY', NULL, 'REDACTED-RUN-LINK', '/srv/mlflow/store/beside/mlruns/1/5a35936fba5f4a6bb476f5f662890354/artifacts/old_model', 'default');
INSERT INTO model_versions VALUES ('été price', 4, 1795712439708, 1795712439708, NULL, NULL, 'None', '/srv/mlflow/store/beside/mlruns/1/5a35936fba5f4a6bb476f5f662890354/artifacts/old_model', '5a35936fba5f4a6bb476f5f662890354', 'READY', NULL, NULL, '/srv/mlflow/store/beside/mlruns/1/5a35936fba5f4a6bb476f5f662890354/artifacts/old_model', 'default');
INSERT INTO model_versions VALUES ('été price', 5, 1795712439711, 1795712439711, NULL, NULL, 'None', '/srv/mlflow/store/beside/mlruns/1/5a35936fba5f4a6bb476f5f662890354/artifacts/no_such_folder', '5a35936fba5f4a6bb476f5f662890354', 'READY', NULL, NULL, '/srv/mlflow/store/beside/mlruns/1/5a35936fba5f4a6bb476f5f662890354/artifacts/no_such_folder', 'default');
INSERT INTO model_versions VALUES ('hello', 1, 1795712439743, 1795712439743, NULL, NULL, 'None', 'dummy-source', NULL, 'READY', NULL, NULL, 'dummy-source', 'default');
CREATE TABLE "model_version_tags" (
	"key" VARCHAR(250) NOT NULL, 
	value TEXT, 
	name VARCHAR(256) NOT NULL, 
	version INTEGER NOT NULL, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT model_version_tag_pk PRIMARY KEY (workspace, "key", name, version), 
	CONSTRAINT fk_model_version_tags_model_versions FOREIGN KEY(workspace, name, version) REFERENCES model_versions (workspace, name, version) ON UPDATE CASCADE
);
INSERT INTO model_version_tags VALUES ('by', 'hand', 'été price', 1, 'default');
INSERT INTO model_version_tags VALUES ('mlflow.prompt.is_prompt', 'true', 'hello', 1, 'default');
INSERT INTO model_version_tags VALUES ('_mlflow_prompt_type', 'text', 'hello', 1, 'default');
INSERT INTO model_version_tags VALUES ('mlflow.prompt.text', 'Say {{ what }}.', 'hello', 1, 'default');
CREATE TABLE "trace_info" (
	request_id VARCHAR(50) NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	timestamp_ms BIGINT NOT NULL, 
	execution_time_ms BIGINT, 
	status VARCHAR(50) NOT NULL, 
	client_request_id VARCHAR(50), 
	request_preview VARCHAR(1000), 
	response_preview VARCHAR(1000), 
	db_payload_generation INTEGER DEFAULT '0' NOT NULL, trace_name VARCHAR(4096), session_id VARCHAR(250), input_tokens BIGINT, output_tokens BIGINT, total_tokens BIGINT, cache_read_input_tokens BIGINT, cache_creation_input_tokens BIGINT, cache_creation_input_tokens_above_1hr BIGINT, input_cost FLOAT, output_cost FLOAT, total_cost FLOAT, 
	CONSTRAINT trace_info_pk PRIMARY KEY (request_id), 
	CONSTRAINT fk_trace_info_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id) ON DELETE CASCADE
);
