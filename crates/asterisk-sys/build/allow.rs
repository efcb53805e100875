//! What is bound. Each entry is a regular expression over C names.
//!
//! A macro that does something is not here: the `asterisk` crate does by hand what it does.
//! Bindings are added when a wrapper needs them, not before.

/// Functions, grouped by the header that declares them.
pub(crate) const FUNCTIONS: &[&str] = &[
    "ast_register_atexit|ast_unregister_atexit",
    "ast_db_get_allocated|ast_db_gettree|ast_db_freetree",
    "__ast_free|__ast_malloc|__ast_calloc|__ast_strdup",
    "__ao2_lock|__ao2_unlock|__ao2_ref|ao2_iterator_init|__ao2_iterator_next",
    "ao2_iterator_destroy|ao2_container_count",
    "ast_channel_(name|uniqueid|context|exten|priority|varshead)",
    "ast_cli|__ast_cli_register|ast_cli_unregister",
    "ast_config_load2|ast_config_destroy|ast_category_browse_filtered",
    "ast_category_first|ast_category_get_name|ast_variables_destroy|ast_variable_browse",
    "ast_json_object_get|ast_json_string_get",
    "ast_log|__ast_verbose|ast_debug_get_by_module",
    "ast_manager_register2|ast_manager_unregister",
    "astman_(append|send_ack|send_error|send_response|get_header)",
    "ast_module_register|ast_module_unregister|__ast_module_(ref|unref)",
    "ast_register_application2|ast_unregister_application|pbx_findapp|pbx_exec",
    "ast_register_switch|ast_unregister_switch|ast_context_switches_(count|get)",
    "ast_get_switch_(name|data|eval)|ast_extension_close|ast_exists_extension",
    "__ast_module_user_(add|remove)|ast_channel_hangupcause_set",
    "ast_custom_function_find|ast_func_read2",
    "__ast_custom_function_register(_escalating)?|ast_custom_function_unregister",
    "ast_wrlock_contexts|ast_unlock_contexts|ast_walk_contexts|ast_walk_context_extensions",
    "ast_rdlock_context|ast_unlock_context|ast_get_extension_app_data|ast_active_channels",
    "ast_walk_extension_priorities|ast_get_extension_(name|priority|app)|ast_extension_match",
    "ast_channel_iterator_(all_new|next|destroy)|__ao2_trylock",
    "pbx_builtin_setvar_helper|pbx_builtin_getvar_helper|ast_str_retrieve_variable",
    "ast_sorcery_retrieve_by_module_name|ast_sorcery_retrieve_by_fields",
    "ast_sorcery_observer_(add|remove)|ast_sorcery_global_observer_(add|remove)",
    "ast_sorcery_objectset_create2|ast_sorcery_object_get_(id|type)",
    "__stasis_subscribe|stasis_unsubscribe_and_join|stasis_subscription_final_message",
    "stasis_subscription_(accept_message_type|set_filter)",
    "stasis_message_(data|type)|stasis_cache_dump",
    "ast_endpoint_(topic_all|topic_all_cached|cache|latest_snapshot)",
    "ast_endpoint_(state_type|snapshot_type)",
    "__ast_str_helper2",
    "ast_pthread_create_stack|ast_set_priority",
    "ast_get_version(_num)?",
    "ast_update_module_list_data",
    "ast_channel_cache_(all|by_name)|ast_active_calls|ast_processed_calls",
    "ast_security_event_report",
    "ast_ssl_(setup|teardown)|ast_shutting_down",
];

/// Types that no bound function names by itself.
pub(crate) const TYPES: &[&str] = &[
    "ast_module_(info|load_result|support_level|flags|load_priority)",
    "ast_cli_(args|command|entry)",
    "ast_custom_function",
    "ast_db_entry",
    "ast_channel_(snapshot(_base|_bridge|_caller|_connected|_dialplan|_peer)?|state)",
    "ast_endpoint_(blob|snapshot|state)",
    "ast_security_event_(type|common|failed_acl|inval_acct_id|inval_password|successful_auth)",
    "ast_security_event_(session_limit|req_not_allowed|ip_addr)|ast_sockaddr|ast_transport",
    "ast_tls_config|ast_ssl_flags|SSL",
    "ast_switch|ext_match_t",
    "ast_sorcery_(observer|global_observer|retrieve_flags|field_handler_flags)",
    "ast_option_flags",
    "ast_str",
    "ast_variable",
    "ao2_lock_req",
    "stasis_subscription_message_filter",
    "message",
];

/// Constants and Asterisk's own global variables.
pub(crate) const VARIABLES: &[&str] = &[
    "AST_BUILDOPT_SUM",
    "AST_MODFLAG_.*|AST_MODPRI_.*|AST_MODULE_SUPPORT_.*|AST_MODULE_LOAD_.*",
    "AST_MAX_(ARGS|CMD_LEN|MANHEADERS)",
    "AST_PBX_ERROR|AST_CAUSE_(NORMAL_CIRCUIT_CONGESTION|SUBSCRIBER_ABSENT)",
    "AST_CHAN_TP_INTERNAL",
    "AST_SECURITY_EVENT_.*_VERSION",
    "CONFIG_FLAG_.*",
    "EVENT_FLAG_.*",
    "RESULT_(SUCCESS|SHOWUSAGE|FAILURE)|CLI_(INIT|GENERATE|HANDLER)",
    "__LOG_.*",
    "ast_config_AST_(SYSTEM_NAME|MODULE_DIR|CONFIG_DIR|DATA_DIR|VAR_DIR|RUN_DIR|SPOOL_DIR)",
    "ast_config_AST_SOCKET|ast_startuptime|ast_lastreloadtime|ast_option_maxcalls",
    "option_debug|ast_verb_sys_level|ast_options",
];

/// Types whose layout is none of our business.
pub(crate) const OPAQUE_TYPES: &[&str] = &["ast_channel", "ast_json", "ast_sorcery"];
