"""A conversation's files, its whole log, and what the web client asks of its runtime."""

from __future__ import annotations

from functools import partial

from django.http import StreamingHttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from conversations.api.answers import (
    NAMES,
    ZIP,
    FeedbackAnswerSerializer,
    FileTextSerializer,
    HostsSerializer,
    RuntimeSerializer,
    TrajectorySerializer,
    VSCodeSerializer,
)
from conversations.api.serializers import (
    FeedbackSerializer,
    FileQuerySerializer,
    FolderQuerySerializer,
)
from conversations.api.views import InsideViewSet, body_of, checked
from conversations.downloads import download
from conversations.runtime.workspace_files import file_text, folder_list, workspace_zip
from conversations.selectors import trajectory_pieces
from conversations.services.feedback import feedback_keep
from conversations.services.workspaces import workspace_path


class FilesViewSet(InsideViewSet):
    """Answers from the database and the workspace, whether a loop runs or not."""

    @extend_schema(responses=TrajectorySerializer)
    @action(detail=True)
    def trajectory(self, request: Request, conversation_id: str) -> StreamingHttpResponse:
        """Give every event with its metadata, in order."""
        pieces = partial(trajectory_pieces, conversation_id=self.conversation.pk)
        return download(request, pieces, content_type="application/json")

    @extend_schema(parameters=[FolderQuerySerializer], responses=NAMES)
    @action(detail=True, url_path="list-files")
    def list_files(self, request: Request, conversation_id: str) -> Response:
        """Give the paths in one folder of the workspace; folders end in a slash."""
        query = checked(FolderQuerySerializer(data=request.query_params.dict()))
        return Response(folder_list(workspace_path(self.conversation.pk), query["path"]))

    @extend_schema(parameters=[FileQuerySerializer], responses=FileTextSerializer)
    @action(detail=True, url_path="select-file")
    def select_file(self, request: Request, conversation_id: str) -> Response:
        """Give the text of one file."""
        query = checked(FileQuerySerializer(data=request.query_params.dict()))
        return Response({"code": file_text(workspace_path(self.conversation.pk), query["file"])})

    @extend_schema(responses=ZIP)
    @action(detail=True, url_path="zip-directory")
    def zip_directory(self, request: Request, conversation_id: str) -> StreamingHttpResponse:
        """Give the whole workspace as a zip."""
        pieces = partial(workspace_zip, workspace_path(self.conversation.pk))
        response = download(request, pieces, content_type="application/zip")
        response["Content-Disposition"] = 'attachment; filename="workspace.zip"'
        return response

    @extend_schema(responses=VSCodeSerializer)
    @action(detail=True, url_path="vscode-url")
    def vscode_url(self, request: Request, conversation_id: str) -> Response:
        """Say that there is no editor in the sandbox."""
        return Response({"vscode_url": None})

    @extend_schema(responses=HostsSerializer)
    @action(detail=True, url_path="web-hosts")
    def web_hosts(self, request: Request, conversation_id: str) -> Response:
        """Give no addresses: a sandbox has no network that a browser could reach."""
        return Response({"hosts": {}})

    @extend_schema(responses=RuntimeSerializer)
    @action(detail=True)
    def config(self, request: Request, conversation_id: str) -> Response:
        """Give the ids by which the original's clients know a runtime: here, the conversation's."""
        return Response(
            {"runtime_id": self.conversation.pk.hex, "session_id": self.conversation.pk.hex}
        )

    @extend_schema(request=FeedbackSerializer, responses=FeedbackAnswerSerializer)
    @action(detail=True, methods=["post"], url_path="submit-feedback")
    def submit_feedback(self, request: Request, conversation_id: str) -> Response:
        """Keep what a user thinks of the work. It is sent nowhere."""
        fields = checked(FeedbackSerializer(data=body_of(request)))
        feedback = feedback_keep(conversation=self.conversation, **fields)
        kept = {
            "message": "Your feedback is kept on this server.",
            "feedback_id": feedback.pk.hex,
            "password": "",
        }
        return Response({"statusCode": 200, "body": kept})
