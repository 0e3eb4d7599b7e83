project_id = "my-chat-project"
